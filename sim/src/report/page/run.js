const head = read('head'), data = read('operations');
const ID = 0, CLIENT = 1, CALL = 2, RET = 3, OUTCOME = 4, FLAGS = 5, LABEL = 6, ENDPOINT = 7, KEYS = 8, REVISION = 9, TERM = 10, ERROR = 11;
// A refusal is a failure that the store's rules demand: no sign of trouble, so it has a look of its own.
const OUTCOMES = ['ok', 'failed', 'ambiguous', 'refused'], INK = ['ok', 'fail', 'info', 'refused'], STACK = [0, 3, 2, 1];
const rows = data.rows, END = head.end;
const ends = rows.map(row => row[RET] ?? END);
const look = Uint8Array.from(rows, row => row[FLAGS] & 4 ? 3 : row[OUTCOME]);
const on = new Uint8Array(rows.length).fill(1);
const lanesOf = data.clients.map(() => []);
rows.forEach((row, i) => lanesOf[row[CLIENT]].push(i));
const blamed = new Set(head.findings.flatMap(f => f.rows || [])), core = new Set(head.core);
const names = data.names;

// Each kind of fault has a colour, in the order in which they strike.
const HUES = [['#0b8485', '#3fc1c0'], ['#b0367a', '#e87ab5'], ['#6d7f12', '#b3c54a'], ['#8a5a2b', '#cf9a66'], ['#36519f', '#8aa3ee'], ['#c25570', '#f09aad'],
  ['#1f8fb5', '#62c4e6'], ['#5b6b7b', '#a3b1bf'], ['#8f6a00', '#e3c14f'], ['#7a3fa0', '#c79be6'], ['#3f7d3a', '#8fd089'], ['#a33f2a', '#f0a08d']];
const kinds = [...new Set(head.faults.filter(f => f.targets.length).map(f => f.action))];
const faultInk = action => HUES[Math.max(kinds.indexOf(action), 0) % HUES.length][ink.dark ? 1 : 0];
const struck = head.faults.filter(f => f.targets.length);
const faultEnd = f => f.to ?? END;
const whom = f => f.targets.length > 1 && f.targets.length === head.members.length ? 'all members' : f.targets.join(', ');
const faultRows = pack(struck);
const alerts = head.alerts, alertRows = alerts.length ? pack(alerts) : 0;
const watches = head.watches, watchRows = watches.length ? pack(watches, 12) : 0;
const outages = head.outages.filter(([from, to]) => to - from > END / 1e4);
function pack(faults, most = 8) {
  const free = [];
  for (const f of faults) {
    // A fault that is over at once still needs room for its mark.
    let row = free.findIndex(until => until <= f.from);
    if (row < 0) row = free.length < most ? free.length : most - 1;
    free[row] = Math.max(faultEnd(f), f.from + END / 60); f.row = row;
  }
  return Math.max(free.length, 1);
}

// The page above the picture.
readColours();
byId('verdict').textContent = head.verdict; byId('verdict').classList.add(head.verdict);
byId('name').textContent = head.scenario; byId('seed').textContent = 'seed ' + head.seed;
byId('expected').textContent = head.expected ? 'as expected' : 'not as expected'; byId('expected').classList.add(head.expected ? 'quiet' : 'bad');
byId('about').textContent = head.description;
byId('reproduce').append(...words(head.reproduce).filter(Boolean)); copyButton(byId('copy'), head.reproduce);
const sum = o => Object.values(o).reduce((a, b) => a + b, 0);
facts(byId('facts'), [
  head.on ? ['Ran on', head.on.replace(/^processes: /, '').replace(' Version:', '')] : ['Simulated time', time(head.simulated_seconds * 1e9, 1)], ['Real time', time(head.wall_seconds * 1e9, 2)],
  ['Operations ok', count(head.operations.ok)], ['Refused', count(look.filter(l => l === 3).length)], ['Failed', count(look.filter(l => l === 1).length)],
  ['Ambiguous', count(head.operations.info)],
  ['Faults', count(sum(head.faults_injected)) + (head.faults_injected && sum(head.faults_injected) ? ', ' + count(sum(head.faults_bit)) + ' took effect' : '')],
  ['Findings', count(head.findings.length)]]);
if (head.on || head.unchecked && head.unchecked.length) {
  byId('arena').hidden = false;
  byId('arena-words').textContent = 'Real processes ran it, so it is not deterministic: there is no audit hash, and no replay. '
    + 'Members did not tell their roles, terms and logs.';
  byId('unchecked').append(...(head.unchecked || []).map(what => make('li', {}, what)));
  byId('unchecked-count').textContent = count((head.unchecked || []).length) + ' things were not checked';
}

const SHOWN = 3;
// What a row needs to be pressed by mouse and by keyboard.
const pressed = act => ({ tabindex: 0, onclick: act, onkeydown: e => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); act(); } } });
function card(finding) {
  const rowsOf = finding.rows || [];
  const table = rowsOf.length ? make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, make('tr', {},
    ...['Operation', 'Client', 'What', 'At', 'Called', 'Returned', 'Revision'].map(h => make('th', {}, h)))),
    make('tbody', {}, rowsOf.map(i => make('tr', pressed(() => { showRows([i]); keep(i); }),
      make('td', {}, '#' + rows[i][ID]), make('td', {}, names[rows[i][CLIENT]]), make('td', { class: 'what' }, data.texts[rows[i][LABEL]]),
      make('td', {}, data.texts[rows[i][ENDPOINT]]), make('td', {}, time(rows[i][CALL], 4)), make('td', {}, rows[i][RET] == null ? 'never' : time(rows[i][RET], 4)),
      make('td', {}, rows[i][REVISION] == null ? '' : String(rows[i][REVISION]))))))) : null;
  return make('article', { class: 'card finding ' + (head.verdict === 'unknown' ? 'unknown' : '') },
    make('div', { class: 'head' }, make('h3', {}, promise(finding.checker, finding.guarantee)),
      finding.at == null ? null : make('button', { type: 'button', onclick: () => showFinding(finding) }, 'Show at ' + time(finding.at))),
    make('p', {}, finding.message), table,
    finding.explanation ? make('details', {}, make('summary', {}, 'The judge’s explanation'), make('pre', {}, finding.explanation)) : null);
}
if (head.findings.length) {
  byId('findings').hidden = false;
  const seen = {}, first = [], rest = [];
  for (const f of head.findings) (seen[f.checker] = (seen[f.checker] || 0) + 1) > SHOWN ? rest.push(f) : first.push(f);
  byId('cards').append(...first.map(card));
  // Made when they are asked for: one defect can make a checker report a thousand times.
  if (rest.length) {
    const more = make('details', { ontoggle: () => { if (more.open && more.children.length === 1) more.append(...rest.slice(0, 500).map(card)); } },
      make('summary', {}, count(rest.length) + ' more of the same checkers'));
    byId('cards').append(more);
  }
}

// The plan.
// As they struck: many begin when another is over, and the plan cannot say when that will be.
const planned = head.plan.faults.map(p => ({ p, f: head.faults.find(f => f.id === p.id) })).sort((a, b) => (a.f ? a.f.from : END) - (b.f ? b.f.from : END));
const faultTable = planned.length ? make('div', { class: 'card' }, make('h3', {}, 'Faults'),
  make('p', { class: 'quiet kinds' }, 'Planned instants count from the start of the clients, the others from that of the run. ' + head.plan.kinds.map(([name, about]) => name + ': ' + about).join('; ') + '.'),
  make('div', { class: 'scroll tall' }, make('table', { class: 'faulttable' },
  make('thead', {}, make('tr', {}, ...['Struck', 'Fault', 'Planned', 'What', 'Hit', 'Bit'].map((h, i) => make('th', { class: i === 5 ? 'num' : '' }, h)))),
  make('tbody', {}, planned.map(({ p, f }) => {
    return make('tr', f && f.targets.length ? { 'data-fault': '', ...pressed(() => showSpan(f.from, faultEnd(f))) } : {},
      make('td', {}, f ? time(f.from, 2) : ''), make('td', {}, p.id), make('td', {}, p.at), make('td', {}, p.what, f && f.detail ? make('span', { class: 'quiet' }, ' — ' + f.detail) : null),
      make('td', {}, !f ? 'did not strike' : f.targets.length ? whom(f) : 'nobody'),
      make('td', { class: 'num' }, f && f.bit != null ? count(f.bit) : ''));
  }))))) : null;
byId('plan').append(make('div', { class: faultTable ? 'two' : '' }, make('div', { class: 'card' },
  make('h3', {}, 'Setting'), make('ul', { class: 'words' }, head.plan.setting.map(s => make('li', {}, s))),
  make('h3', { style: 'margin-top:14px' }, 'Clients'), make('ul', { class: 'words' }, head.plan.clients.map(s => make('li', {}, s)))), faultTable));
byId('more').append(make('p', { class: 'mono' }, head.build_words), make('p', { class: 'mono' }, 'audit hash ' + (head.audit_hash || 'none')),
  make('div', { class: 'counters' }, Object.entries(head.counters).map(([name, n]) => make('div', n ? {} : { class: 'zero' }, make('span', {}, name), make('b', {}, count(n))))));
byId('untraced').hidden = head.traced || !!head.on;
if (head.shrunk) {
  const s = head.shrunk; byId('shrunk').hidden = false;
  byId('shrunk-words').textContent = s.faults + ' of ' + s.faults_before + ' faults are left, after ' + count(s.runs) + ' runs. '
    + (s.finished ? 'Nothing more could be taken away.' : 'The budget was used up: a larger one may shrink it further.');
  byId('shrunk-text').textContent = s.text; copyButton(byId('shrunk-copy'), s.text);
}

