const head = read('head'), data = read('operations');
const ID = 0, CLIENT = 1, CALL = 2, RET = 3, OUTCOME = 4, FLAGS = 5, LABEL = 6, ENDPOINT = 7, KEYS = 8, REVISION = 9, TERM = 10, ERROR = 11;
const OUTCOMES = ['ok', 'failed', 'ambiguous'], INK = ['ok', 'fail', 'info'];
const rows = data.rows, END = head.end;
const ends = rows.map(row => row[RET] ?? END);
const on = new Uint8Array(rows.length).fill(1);
const lanesOf = data.clients.map(() => []);
rows.forEach((row, i) => lanesOf[row[CLIENT]].push(i));
const blamed = new Set(head.findings.flatMap(f => f.rows || [])), core = new Set(head.core);
const names = data.clients.map(n => n === 0 ? 'operator' : n === 1 ? 'compactor' : 'client ' + n);

// Each kind of fault has a colour, in the order in which they strike.
const HUES = [['#0b8485', '#3fc1c0'], ['#b0367a', '#e87ab5'], ['#6d7f12', '#b3c54a'], ['#8a5a2b', '#cf9a66'], ['#36519f', '#8aa3ee'], ['#c25570', '#f09aad'],
  ['#1f8fb5', '#62c4e6'], ['#5b6b7b', '#a3b1bf']];
const kinds = [...new Set(head.faults.map(f => f.action))];
const faultInk = action => HUES[Math.max(kinds.indexOf(action), 0) % HUES.length][ink.dark ? 1 : 0];
const struck = head.faults.filter(f => f.targets.length);
const faultEnd = f => f.to ?? END;
const whom = f => f.targets.length > 1 && f.targets.length === head.members.length ? 'all members' : f.targets.join(', ');
const faultRows = pack(struck);
const alerts = head.alerts, alertRows = alerts.length ? pack(alerts) : 0;
function pack(faults) {
  const free = [];
  for (const f of faults) {
    // A fault that is over at once still needs room for its mark.
    let row = free.findIndex(until => until <= f.from);
    if (row < 0) row = free.length < 8 ? free.length : 7;
    free[row] = Math.max(faultEnd(f), f.from + END / 60); f.row = row;
  }
  return Math.max(free.length, 1);
}

// The page above the picture.
readColours();
byId('verdict').textContent = head.verdict; byId('verdict').classList.add(head.verdict);
byId('name').textContent = head.scenario; byId('seed').textContent = 'seed ' + head.seed;
byId('about').textContent = [head.description, head.expected ? 'The outcome is the expected one.' : 'Another outcome was expected.'].filter(Boolean).join(' — ').replace(/\. — /, '. ');
byId('reproduce').textContent = head.reproduce; copyButton(byId('copy'), head.reproduce);
const sum = o => Object.values(o).reduce((a, b) => a + b, 0);
facts(byId('facts'), [
  ['Simulated time', time(head.simulated_seconds * 1e9, 1)], ['Real time', time(head.wall_seconds * 1e9, 2)], ['Operations ok', count(head.operations.ok)],
  ['Failed', count(head.operations.fail)], ['Ambiguous', count(head.operations.info)],
  ['Faults', count(sum(head.faults_injected)) + (head.faults_injected && sum(head.faults_injected) ? ', ' + count(sum(head.faults_bit)) + ' bit' : '')],
  ['Findings', count(head.findings.length)]]);

const SHOWN = 3;
function card(finding) {
  const rowsOf = finding.rows || [];
  const table = rowsOf.length ? make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, make('tr', {},
    ...['Operation', 'Client', 'What', 'At', 'Called', 'Returned', 'Revision'].map(h => make('th', {}, h)))),
    make('tbody', {}, rowsOf.map(i => make('tr', { onclick: () => { showRows([i]); keep(i); } },
      make('td', {}, '#' + rows[i][ID]), make('td', {}, names[rows[i][CLIENT]]), make('td', { class: 'what' }, data.texts[rows[i][LABEL]]),
      make('td', {}, data.texts[rows[i][ENDPOINT]]), make('td', {}, time(rows[i][CALL], 4)), make('td', {}, rows[i][RET] == null ? 'never' : time(rows[i][RET], 4)),
      make('td', {}, rows[i][REVISION] == null ? '' : String(rows[i][REVISION]))))))) : null;
  return make('article', { class: 'card finding ' + (head.verdict === 'unknown' ? 'unknown' : '') },
    make('div', { class: 'head' }, make('h3', {}, finding.checker + ': ' + finding.guarantee),
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
const faultTable = head.plan.faults.length ? make('div', { class: 'card' }, make('h3', {}, 'Faults'),
  make('p', { class: 'quiet kinds' }, 'Instants count from the start of the clients. ' + head.plan.kinds.map(([name, about]) => name + ': ' + about).join('; ') + '.'),
  make('div', { class: 'scroll tall' }, make('table', { class: 'faulttable' },
  make('thead', {}, make('tr', {}, ...['At', 'Fault', 'What', 'Hit', 'Bit'].map((h, i) => make('th', { class: i === 4 ? 'num' : '' }, h)))),
  make('tbody', {}, head.plan.faults.map(p => {
    const f = head.faults.find(f => f.id === p.id);
    return make('tr', f ? { 'data-fault': '', onclick: () => f.targets.length && showSpan(f.from, faultEnd(f)) } : {},
      make('td', {}, p.at), make('td', {}, p.id), make('td', {}, p.what, f && f.detail ? make('span', { class: 'quiet' }, ' — ' + f.detail) : null),
      make('td', {}, !f ? 'did not strike' : f.targets.length ? whom(f) : 'nobody'),
      make('td', { class: 'num' }, f && f.bit != null ? count(f.bit) : ''));
  }))))) : null;
byId('plan').append(make('div', { class: faultTable ? 'two' : '' }, make('div', { class: 'card' },
  make('h3', {}, 'Setting'), make('ul', { class: 'words' }, head.plan.setting.map(s => make('li', {}, s))),
  make('h3', { style: 'margin-top:14px' }, 'Clients'), make('ul', { class: 'words' }, head.plan.clients.map(s => make('li', {}, s)))), faultTable));
byId('more').append(make('p', { class: 'mono' }, head.build_words), make('p', { class: 'mono' }, 'audit hash ' + (head.audit_hash || 'none')),
  make('div', { class: 'counters' }, Object.entries(head.counters).map(([name, n]) => make('div', n ? {} : { class: 'zero' }, make('span', {}, name), make('b', {}, count(n))))));
byId('untraced').hidden = head.traced;

// The picture. `view` is the part of the run that is shown.
const picture = byId('picture'), lanes = byId('lanes'), axis = byId('axis'), overview = byId('overview'), tip = byId('tip');
const LEAST = Math.min(END, 2e4);
let view = { from: 0, to: END }, layout = null, kept = null, pointed = null;
const narrow = () => width < 560;
const gutter = () => narrow() ? 66 : 112;
// The width is asked for once a drawing: asking makes the browser lay the page out.
let width = 0;
const plotWidth = () => Math.max(width - gutter() - 8, 10);
const toX = t => gutter() + (t - view.from) / (view.to - view.from) * plotWidth();
const toTime = x => view.from + (x - gutter()) / plotWidth() * (view.to - view.from);
function arrange() {
  let y = 6; const put = (height, gap = 14) => { const at = y; y += height + gap; return { y: at, height }; };
  const rate = put(64, 18), latency = put(96, 20);
  const faults = put(faultRows * 17, 18), alarms = alertRows ? put(alertRows * 17, 18) : null, members = put(head.members.length * 38, 14);
  const lane = Math.max(5, Math.min(17, Math.floor(640 / Math.max(data.clients.length, 1))));
  const clients = put(Math.max(data.clients.length, 1) * lane, 8);
  return { rate, latency, faults, alarms, members, clients, lane, height: y };
}
const latencies = rows.map((row, i) => Math.max(ends[i] - row[CALL], 1));
const ceiling = latencies.reduce((a, b) => Math.max(a, b), 1e7), floor = Math.min(1e6, latencies.reduce((a, b) => Math.min(a, b), 1e6));

function draw() {
  width = lanes.clientWidth; layout = arrange();
  const c = sharp(lanes, layout.height), w = width, g = gutter();
  c.textBaseline = 'middle';
  drawGrid(c, layout.height);
  c.save(); c.beginPath(); c.rect(g, 0, plotWidth() + 1, layout.height); c.clip();
  for (const part of [layout.rate, layout.latency]) shade(c, part.y - 4, part.height + 8, .13);
  shade(c, layout.clients.y, layout.clients.height, .05);
  drawRate(c); drawLatency(c); drawFaults(c); drawAlerts(c); drawMembers(c); drawClients(c); drawMoments(c);
  c.restore();
  drawGutter(c); drawAxis(); drawOverview(); tellShown();
}
let waiting = false;
function redraw() { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } }
function ticks() {
  const step = niceStep((view.to - view.from) / Math.max(plotWidth() / 90, 2)), list = [];
  for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) list.push(t);
  return { step, list };
}
function drawGrid(c, height) {
  c.fillStyle = ink.soft;
  for (const t of ticks().list) c.fillRect(Math.round(toX(t)), 0, 1, height);
}
function drawAxis() {
  const c = sharp(axis, 24); c.font = '11.5px ' + FONT; c.textBaseline = 'middle'; c.textAlign = 'center'; c.fillStyle = ink.quiet;
  const { step, list } = ticks(), digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step / 1e9))));
  for (const t of list) {
    const x = toX(t); if (x < gutter() + 4 || x > axis.clientWidth - 18) continue;
    c.fillText(step < 1e3 ? (t / 1e3).toFixed(1) + ' µs' : (t / 1e9).toFixed(digits) + ' s', x, 12);
  }
  c.textAlign = 'left'; c.fillText('time', 10, 12);
}
function shade(c, y, height, alpha) {
  for (const f of struck) {
    if (faultEnd(f) < view.from || f.from > view.to) continue;
    c.globalAlpha = alpha; c.fillStyle = faultInk(f.action);
    const x = toX(f.from); c.fillRect(x, y, Math.max(toX(faultEnd(f)) - x, 1), height);
  }
  c.globalAlpha = 1;
}
function buckets(from, to, step) {
  const first = Math.floor(from / step), n = Math.max(Math.ceil(to / step) - first, 1), sums = [0, 1, 2].map(() => new Float64Array(n));
  rows.forEach((row, i) => { if (!on[i]) return; const b = Math.floor(ends[i] / step) - first; if (b >= 0 && b < n) sums[row[OUTCOME]][b]++; });
  return { first, n, sums };
}
function drawRate(c) {
  const { y, height } = layout.rate, step = niceStep((view.to - view.from) / Math.max(plotWidth() / 7, 4)), { first, n, sums } = buckets(view.from, view.to, step);
  let most = 0; for (let b = 0; b < n; b++) most = Math.max(most, sums[0][b] + sums[1][b] + sums[2][b]);
  layout.rate.most = most / (step / 1e9); layout.rate.step = step;
  if (!most) return;
  for (let b = 0; b < n; b++) {
    let base = y + height; const x = toX((first + b) * step), wide = Math.max(toX((first + b + 1) * step) - x - .6, .6);
    for (const o of [0, 2, 1]) { const h = sums[o][b] / most * height; c.fillStyle = ink[INK[o]]; c.fillRect(x, base - h, wide, h); base -= h; }
  }
}
const lowest = Math.log10(floor), decades = Math.log10(ceiling) - lowest;
const latencyY = ns => layout.latency.y + layout.latency.height - (Math.log10(ns) - lowest) / decades * layout.latency.height;
function drawLatency(c) {
  const { y, height } = layout.latency, w = width;
  c.fillStyle = ink.line;
  for (let d = 1e3; d <= ceiling; d *= 10) if (d >= floor) c.fillRect(gutter(), Math.round(latencyY(d)), w, .5);
  const points = rows.reduce((n, _, i) => n + (on[i] && ends[i] >= view.from && ends[i] <= view.to ? 1 : 0), 0), large = points < 150 ? 5 : points < 800 ? 3.4 : 2;
  for (const o of [0, 2, 1]) {
    c.fillStyle = ink[INK[o]]; c.globalAlpha = o || large > 3 ? .85 : .45;
    const size = o ? Math.max(2.4, large) : large;
    // One dot a place: many operations look alike.
    const taken = new Set();
    for (let i = 0; i < rows.length; i++) {
      if (!on[i] || rows[i][OUTCOME] !== o || ends[i] < view.from || ends[i] > view.to) continue;
      const x = Math.round(toX(ends[i])), y = Math.round(latencyY(latencies[i])), spot = x * 1024 + y;
      if (taken.has(spot)) continue;
      taken.add(spot); c.fillRect(x - size / 2, y - size / 2, size, size);
    }
  }
  c.globalAlpha = 1;
  // The median of what succeeded, where there is enough of it to have one.
  const step = niceStep((view.to - view.from) / Math.max(plotWidth() / 24, 4)), groups = new Map();
  rows.forEach((row, i) => { if (on[i] && row[OUTCOME] === 0 && ends[i] >= view.from && ends[i] <= view.to) { const b = Math.floor(ends[i] / step); (groups.get(b) || groups.set(b, []).get(b)).push(latencies[i]); } });
  c.strokeStyle = ink.ink; c.lineWidth = 1.4; c.beginPath(); let last = null;
  for (const b of [...groups.keys()].sort((a, b) => a - b)) {
    const list = groups.get(b); if (list.length < 4) { last = null; continue; }
    list.sort((a, b) => a - b); const x = toX((b + .5) * step), at = latencyY(list[list.length >> 1]);
    if (last === b - 1) c.lineTo(x, at); else c.moveTo(x, at); last = b;
  }
  c.stroke();
}
function drawFaults(c) {
  c.font = '11px ' + FONT;
  for (const f of struck) {
    if (faultEnd(f) < view.from || f.from > view.to) continue;
    const x = toX(f.from), right = toX(faultEnd(f)), y = layout.faults.y + f.row * 17, left = Math.max(x, gutter()), wide = Math.min(right, width) - left;
    c.fillStyle = faultInk(f.action);
    c.globalAlpha = f.bit === 0 ? .35 : .9; round(c, x, y, Math.max(right - x, 3), 14, 3); c.fill(); c.globalAlpha = 1;
    const text = f.action + ' ' + whom(f), inside = fitted(c, text, wide - 8);
    if (inside.length > 3) { c.fillStyle = f.bit === 0 ? ink.ink : ink.dark ? '#0d1117' : '#fff'; c.fillText(inside, left + 4, y + 7.5); }
  }
}
function drawAlerts(c) {
  c.font = '11px ' + FONT;
  for (const a of alerts) {
    if (faultEnd(a) < view.from || a.from > view.to) continue;
    const x = toX(a.from), right = toX(faultEnd(a)), y = layout.alarms.y + a.row * 17, left = Math.max(x, gutter());
    c.fillStyle = ink.info; c.globalAlpha = .45; round(c, x, y, Math.max(right - x, 3), 14, 3); c.fill(); c.globalAlpha = 1;
    if (a.firing != null) { c.fillStyle = ink.fail; const at = toX(a.firing); round(c, at, y, Math.max(right - at, 3), 14, 3); c.fill(); }
    const inside = fitted(c, a.alert, Math.min(right, width) - left - 8);
    if (inside.length > 3) { c.fillStyle = ink.ink; c.fillText(inside, left + 4, y + 7.5); }
  }
}
function round(c, x, y, w, h, r) { c.beginPath(); if (c.roundRect) c.roundRect(x, y, w, h, Math.min(r, w / 2, h / 2)); else c.rect(x, y, w, h); }
const MARKS = { started: ['▸', 'a process starts'], restarted: ['▸', 'a process starts'], ended: ['×', 'a process ends'], panic: ['!', 'a panic'], snapshotSaved: ['◆', 'snapshot saved'], snapshotSent: ['↗', 'snapshot sent'],
  snapshotInstalled: ['↓', 'snapshot installed'], compactionFinished: ['✂', 'compaction done'], segmentCut: ['|', 'WAL segment'], tornTailRepaired: ['✚', 'torn tail repaired'], wiped: ['○', 'disk wiped'], starting: ['', ''], ready: ['', ''] };
const glyph = kind => (MARKS[kind] || ['•', 'other'])[0];
function drawMembers(c) {
  const chosen = byId('member').value;
  head.members.forEach((m, n) => {
    const y = layout.members.y + n * 38, dim = chosen && chosen !== m.name;
    for (const f of struck) if (f.targets.includes(m.name) && faultEnd(f) >= view.from && f.from <= view.to) {
      const x = toX(f.from), wide = Math.max(toX(faultEnd(f)) - x, 2);
      c.fillStyle = faultInk(f.action); c.globalAlpha = .16; c.fillRect(x, y - 1, wide, 35); c.globalAlpha = 1; c.fillRect(x, y - 1, wide, 3);
    }
    c.globalAlpha = dim ? .3 : 1; c.font = '11px ' + FONT;
    for (const s of m.states) {
      if (s.to < view.from || s.from > view.to) continue;
      const x = toX(s.from), wide = Math.max(toX(s.to) - x, 1), left = Math.max(x, gutter()), seen = Math.min(x + wide, width) - left;
      if (s.state === 'down') {
        c.fillStyle = ink.panel; c.fillRect(x, y + 4, wide, 15); c.strokeStyle = ink.down; c.lineWidth = 1; c.setLineDash([3, 3]);
        c.strokeRect(x + .5, y + 4.5, Math.max(wide - 1, 1), 14); c.setLineDash([]); c.fillStyle = ink.down;
      } else {
        c.fillStyle = ink[s.state.replace('-', '')]; c.fillRect(x, y + 4, wide, 15);
        c.fillStyle = ink.panel; c.fillRect(x, y + 4, 1, 15);
        c.fillStyle = s.state === 'leader' && !ink.dark ? '#fff' : s.state === 'leader' || s.state === 'candidate' ? '#101418' : ink.ink;
      }
      const words = s.term ? [s.state + ', term ' + s.term, s.state + ' ' + s.term, String(s.term)] : [s.state];
      const text = words.find(t => c.measureText(t).width < seen - 7); if (text) c.fillText(text, left + 4, y + 12);
    }
    c.font = '12px ' + FONT; c.textAlign = 'center'; const last = {};
    for (const mark of m.marks) {
      if (mark.at < view.from || mark.at > view.to) continue;
      const x = toX(mark.at), sign = glyph(mark.kind); if (!sign || x - (last[sign] ?? -99) < 7) continue;
      last[sign] = x; c.fillStyle = mark.kind === 'panic' || mark.kind === 'ended' ? ink.down : mark.kind === 'segmentCut' ? ink.quiet : ink.ink;
      c.fillText(sign, x, y + 27);
    }
    c.textAlign = 'left'; c.globalAlpha = 1;
  });
}
const alphaOf = i => on[i] ? (rows[i][FLAGS] & 1 || rows[i][OUTCOME] ? 1 : .55) : .08;
function drawClients(c) {
  const { y, height } = layout.clients, lane = layout.lane, bar = Math.max(lane - 3, 3), w = width;
  const later = [], wide = [];
  c.font = Math.max(Math.min(11, bar - 2), 6) + 'px ' + FONT;
  // Bars of one look are drawn together, and those that touch as one: a run of thousands of operations is a few strokes.
  for (const [outcome, alpha] of [[0, 1], [0, .55], [0, .08], [1, 1], [1, .08], [2, 1], [2, .08]]) {
    c.globalAlpha = alpha; c.fillStyle = ink[INK[outcome]];
    lanesOf.forEach((list, n) => {
      const top = y + n * lane + 1; let from = NaN, to = NaN;
      for (const i of list) {
        const row = rows[i];
        if (row[OUTCOME] !== outcome || ends[i] < view.from || row[CALL] > view.to || alphaOf(i) !== alpha) continue;
        if (blamed.has(i) || i === kept) { later.push(i); continue; }
        const x = toX(row[CALL]), right = Math.max(toX(ends[i]), x + 1.5);
        if (right - x > (outcome === 2 ? 8 : 46)) { wide.push(i); continue; }
        if (x - to < .75) { to = Math.max(to, right); continue; }
        if (to > from) c.fillRect(from, top, to - from, bar);
        from = x; to = right;
      }
      if (to > from) c.fillRect(from, top, to - from, bar);
    });
  }
  c.globalAlpha = 1;
  for (const i of wide) drawBar(c, i, bar, alphaOf(i));
  for (const i of later) {
    drawBar(c, i, bar, 1);
    const x = toX(rows[i][CALL]), wide = Math.max(toX(ends[i]) - x, 4), at = y + rows[i][CLIENT] * lane;
    c.strokeStyle = blamed.has(i) ? ink.fail : ink.accent; c.lineWidth = 2; c.strokeRect(x - 1.5, at - .5, wide + 3, bar + 3);
  }
  // The counterexample is named beside its bars, once there is room for it.
  const wanted = later.filter(i => blamed.has(i)); if (wanted.length > 8 || lane < 9) return;
  c.font = '600 11px ' + FONT;
  for (const i of wanted) {
    const right = toX(ends[i]) + 7, left = toX(rows[i][CALL]) - 7, at = y + rows[i][CLIENT] * lane, text = '#' + rows[i][ID] + '  ' + data.texts[rows[i][LABEL]];
    const cut = fitted(c, text, Math.min(320, Math.max(w - right - 8, left - gutter() - 8))); if (!cut) continue;
    const wide = c.measureText(cut).width, x = right + wide + 8 < w ? right : Math.max(left - wide, gutter());
    c.fillStyle = ink.panel; c.globalAlpha = .9; c.fillRect(x - 3, at - 1, wide + 6, bar + 4); c.globalAlpha = 1; c.fillStyle = ink.fail; c.fillText(cut, x, at + bar / 2 + .5);
  }
}
function drawBar(c, i, bar, alpha) {
  const row = rows[i], x = toX(row[CALL]), right = toX(ends[i]), wide = Math.max(right - x, 1.5), y = layout.clients.y + row[CLIENT] * layout.lane + 1;
  c.globalAlpha = alpha; c.fillStyle = ink[INK[row[OUTCOME]]];
  c.fillRect(x, y, wide, bar);
  // An ambiguous operation has no end: its bar fades out.
  if (row[OUTCOME] === 2 && wide > 3) { c.fillStyle = ink.panel; for (let s = right - 2; s > x + 2; s -= 5) c.fillRect(s, y, 2, bar); }
  const left = Math.max(x, gutter()), seen = Math.min(right, width) - left;
  if (seen > 46 && bar >= 9 && !(blamed.has(i))) {
    const text = fitted(c, data.texts[row[LABEL]], seen - 8);
    if (text.length > 4) {
      if (row[OUTCOME] === 2) { c.fillStyle = ink.panel; c.fillRect(left + 2, y, c.measureText(text).width + 4, bar); c.fillStyle = ink.ink; }
      else c.fillStyle = alpha < .7 ? ink.ink : ink.dark ? '#0d1117' : '#fff';
      c.globalAlpha = Math.min(1, alpha * 2); c.fillText(text, left + 4, y + bar / 2 + .5);
    }
  }
  c.globalAlpha = 1;
}
function drawMoments(c) {
  c.lineWidth = 1;
  for (const m of head.moments) {
    if (m.at < view.from || m.at > view.to) continue;
    const x = Math.round(toX(m.at)) + .5; c.strokeStyle = m.kind === 'heal' ? ink.good : ink.bad; c.setLineDash([4, 3]);
    c.beginPath(); c.moveTo(x, 0); c.lineTo(x, layout.height); c.stroke(); c.setLineDash([]);
    c.font = '11px ' + FONT; c.fillStyle = c.strokeStyle; c.fillText(m.kind, x + 4, layout.faults.y + layout.faults.height - 6);
  }
  for (const f of head.findings) {
    if (f.at == null || f.at < view.from || f.at > view.to) continue;
    const x = toX(f.at); c.fillStyle = ink.fail;
    c.globalAlpha = .55; c.fillRect(x - .5, 0, 1, layout.height); c.globalAlpha = 1;
    c.beginPath(); c.moveTo(x - 5, layout.clients.y - 9); c.lineTo(x + 5, layout.clients.y - 9); c.lineTo(x, layout.clients.y - 1); c.fill();
  }
}
function drawGutter(c) {
  const g = gutter(), small = narrow(), w = width;
  c.fillStyle = ink.panel; c.fillRect(0, 0, g, layout.height);
  c.fillStyle = ink.line; for (const part of [layout.latency, layout.faults, layout.alarms, layout.members, layout.clients]) if (part) c.fillRect(0, part.y - 10, w, 1);
  c.textAlign = 'left'; const title = (text, y) => { c.font = '600 11.5px ' + FONT; c.fillStyle = ink.ink; c.fillText(fitted(c, text, g - 12), 10, y); };
  title(small ? 'Rate' : 'Throughput', layout.rate.y + 7); title('Latency', layout.latency.y + 7); title('Faults', layout.faults.y + 7); if (layout.alarms) title('Alerts', layout.alarms.y + 7);
  c.font = '10.5px ' + FONT; c.fillStyle = ink.quiet;
  if (layout.rate.most) c.fillText(fitted(c, 'to ' + count(Math.round(layout.rate.most)) + '/s', g - 12), 10, layout.rate.y + 22);
  c.textAlign = 'right';
  for (let d = 1e3; d <= ceiling; d *= 10) if (d >= floor && latencyY(d) > layout.latency.y + (small ? 16 : 4) && latencyY(d) < layout.latency.y + layout.latency.height + 2)
    c.fillText(d >= 1e9 ? d / 1e9 + ' s' : d >= 1e6 ? d / 1e6 + ' ms' : d / 1e3 + ' µs', g - 6, latencyY(d));
  c.textAlign = 'left';
  head.members.forEach((m, n) => { c.font = '600 12px ' + FONT; c.fillStyle = ink.ink; c.fillText(fitted(c, m.name, g - 12), 10, layout.members.y + n * 38 + 12); });
  c.font = Math.max(8.5, Math.min(11, layout.lane - 3)) + 'px ' + FONT; c.fillStyle = ink.quiet;
  const every = Math.ceil(11 / layout.lane);
  data.clients.forEach((_, n) => { if (n % every === 0) c.fillText(fitted(c, small ? names[n].replace('client ', 'c') : names[n], g - 12), 10, layout.clients.y + n * layout.lane + layout.lane / 2); });
}
const overX = t => gutter() + t / END * plotWidth();
function drawOverview() {
  const c = sharp(overview, 44), g = gutter(), h = 44, step = END / Math.max(Math.floor(plotWidth() / 3), 8), { n, sums } = buckets(0, END, step);
  for (const f of struck) { c.fillStyle = faultInk(f.action); c.globalAlpha = .2; const x = overX(f.from); c.fillRect(x, 0, Math.max(overX(faultEnd(f)) - x, 1), h); }
  c.globalAlpha = 1;
  let most = 1; for (let b = 0; b < n; b++) most = Math.max(most, sums[0][b] + sums[1][b] + sums[2][b]);
  for (let b = 0; b < n; b++) { let base = h - 4; for (const o of [0, 2, 1]) { const tall = sums[o][b] / most * (h - 14); c.fillStyle = ink[INK[o]]; c.fillRect(overX(b * step), base - tall, 2.4, tall); base -= tall; } }
  c.fillStyle = ink.fail; for (const f of head.findings) if (f.at != null) { const x = overX(f.at); c.beginPath(); c.moveTo(x - 4, 0); c.lineTo(x + 4, 0); c.lineTo(x, 7); c.fill(); }
  const x = overX(view.from), wide = Math.max(overX(view.to) - x, 2);
  if (wide < plotWidth() - 1) { c.fillStyle = ink.bg; c.globalAlpha = .65; c.fillRect(g, 0, x - g, h); c.fillRect(x + wide, 0, g + plotWidth() - x - wide, h); c.globalAlpha = 1; }
  c.strokeStyle = ink.accent; c.lineWidth = 1.5; c.strokeRect(x + .75, .75, wide - 1.5, h - 1.5);
  c.font = '600 11.5px ' + FONT; c.textBaseline = 'middle'; c.fillStyle = ink.ink; c.fillText(narrow() ? 'Run' : 'Whole run', 10, h / 2); c.fillStyle = ink.quiet;
}
function tellShown() {
  const filtered = on.some(x => !x), inView = rows.reduce((n, row, i) => n + (on[i] && ends[i] >= view.from && row[CALL] <= view.to ? 1 : 0), 0);
  byId('shown').textContent = count(inView) + ' of ' + count(rows.length) + ' operations' + (filtered ? ', filtered' : '');
}

// Moving about.
function show(from, to) {
  let span = Math.min(Math.max(to - from, LEAST), END), middle = (from + to) / 2;
  from = Math.min(Math.max(middle - span / 2, 0), END - span);
  view = { from, to: from + span }; redraw();
}
const showSpan = (from, to) => { const pad = Math.max((to - from) * .4, 2e8); show(from - pad, to + pad); lanes.scrollIntoView({ block: 'nearest' }); };
function showRows(list) {
  const from = Math.min(...list.map(i => rows[i][CALL])), to = Math.max(...list.map(i => Math.min(ends[i], rows[i][CALL] + 5e9))), pad = Math.max((to - from) * .8, 4e6);
  show(from - pad, to + pad); picture.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
}
function showFinding(f) { if (f.rows && f.rows.length) showRows(f.rows); else { show(f.at - 2e8, f.at + 2e8); picture.scrollIntoView({ block: 'nearest', behavior: 'smooth' }); } }
const firstFinding = head.findings.filter(f => f.at != null).sort((a, b) => a.at - b.at)[0];
if (firstFinding) { byId('first-error').hidden = false; byId('first-error').addEventListener('click', () => showFinding(firstFinding)); }
function zoom(factor, at = (view.from + view.to) / 2) { const span = Math.min(Math.max((view.to - view.from) * factor, LEAST), END), part = (at - view.from) / (view.to - view.from); show(at - part * span, at + (1 - part) * span); }
const pan = part => { const by = (view.to - view.from) * part; show(view.from + by, view.to + by); };
byId('in').addEventListener('click', () => zoom(.5)); byId('out').addEventListener('click', () => zoom(2)); byId('fit').addEventListener('click', () => show(0, END));
document.addEventListener('keydown', e => {
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) || e.ctrlKey || e.metaKey || e.altKey) return;
  const act = { ArrowLeft: () => pan(-.2), ArrowRight: () => pan(.2), '+': () => zoom(.6), '=': () => zoom(.6), '-': () => zoom(1 / .6), 0: () => show(0, END), e: () => firstFinding && showFinding(firstFinding), Escape: () => letGo() }[e.key];
  if (act) { act(); e.preventDefault(); }
});
const place = e => { const box = lanes.getBoundingClientRect(); return { x: e.clientX - box.left, y: e.clientY - box.top }; };
lanes.addEventListener('wheel', e => {
  if (e.ctrlKey || e.metaKey) { zoom(Math.exp(e.deltaY * .004), toTime(place(e).x)); e.preventDefault(); }
  else if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) { pan((e.deltaX || e.deltaY) / plotWidth()); e.preventDefault(); }
}, { passive: false });
lanes.addEventListener('dblclick', e => zoom(.35, toTime(place(e).x)));
const fingers = new Map(); let moved = 0;
lanes.addEventListener('pointerdown', e => { fingers.set(e.pointerId, e); moved = 0; lanes.setPointerCapture(e.pointerId); });
lanes.addEventListener('pointermove', e => {
  const before = fingers.get(e.pointerId);
  if (!before) { point(e); return; }
  const others = [...fingers.entries()].filter(([id]) => id !== e.pointerId);
  if (others.length) {
    const other = others[0][1], was = Math.abs(before.clientX - other.clientX), now = Math.abs(e.clientX - other.clientX);
    if (was > 8 && now > 8) zoom(was / now, toTime((place(e).x + place(other).x) / 2));
  } else { const by = e.clientX - before.clientX; moved += Math.abs(by); pan(-by / plotWidth()); }
  fingers.set(e.pointerId, e);
});
const lift = e => { if (fingers.delete(e.pointerId) && moved < 4 && e.type === 'pointerup') pick(e); };
lanes.addEventListener('pointerup', lift); lanes.addEventListener('pointercancel', lift);
lanes.addEventListener('pointerleave', () => { if (kept == null) { tip.hidden = true; } });
let anchor = null;
overview.addEventListener('pointerdown', e => { anchor = e.offsetX; overview.setPointerCapture(e.pointerId); });
overview.addEventListener('pointermove', e => { if (anchor != null && Math.abs(e.offsetX - anchor) > 4) { const t = x => (Math.min(Math.max(x, gutter()), gutter() + plotWidth()) - gutter()) / plotWidth() * END; show(Math.min(t(anchor), t(e.offsetX)), Math.max(t(anchor), t(e.offsetX))); } });
overview.addEventListener('pointerup', e => { if (anchor != null && Math.abs(e.offsetX - anchor) <= 4) { const t = (e.offsetX - gutter()) / plotWidth() * END, half = (view.to - view.from) / 2; show(t - half, t + half); } anchor = null; });

// What lies under the pointer.
function under(x, y) {
  if (!layout || x < gutter()) return null;
  const within = part => y >= part.y - 2 && y < part.y + part.height + 2;
  if (within(layout.clients)) {
    const lane = lanesOf[Math.min(Math.floor((y - layout.clients.y) / layout.lane), data.clients.length - 1)]; let best = null, near = 6;
    for (const i of lane || []) { if (!on[i]) continue; const left = toX(rows[i][CALL]), right = Math.max(toX(ends[i]), left + 1.5), away = x < left ? left - x : x > right ? x - right : 0; if (away < near || (away === 0 && blamed.has(i))) { near = away; best = i; if (away === 0 && blamed.has(i)) break; } }
    return best == null ? null : { row: best };
  }
  if (within(layout.faults)) { const f = struck.find(f => f.row === Math.floor((y - layout.faults.y) / 17) && x >= toX(f.from) - 3 && x <= toX(faultEnd(f)) + 3); return f ? { fault: f } : null; }
  if (layout.alarms && within(layout.alarms)) { const a = alerts.find(a => a.row === Math.floor((y - layout.alarms.y) / 17) && x >= toX(a.from) - 3 && x <= toX(faultEnd(a)) + 3); return a ? { alert: a } : null; }
  if (within(layout.members)) {
    const m = head.members[Math.min(Math.floor((y - layout.members.y) / 38), head.members.length - 1)]; if (!m) return null;
    const marks = m.marks.filter(mark => Math.abs(toX(mark.at) - x) < 5).slice(0, 6), t = toTime(x);
    return { member: m, marks, state: m.states.find(s => s.from <= t && t < s.to), faults: struck.filter(f => f.targets.includes(m.name) && f.from <= t && t <= faultEnd(f)) };
  }
  return null;
}
function describe(hit) {
  const list = make('dl'), add = (name, value) => { if (value != null && value !== '') list.append(make('dt', {}, name), make('dd', {}, value)); };
  if (hit.row != null) {
    const row = rows[hit.row];
    add('Outcome', OUTCOMES[row[OUTCOME]]); add('Client', names[row[CLIENT]]); add('Asked', data.texts[row[ENDPOINT]]);
    add('Called', time(row[CALL], 6)); add('Returned', row[RET] == null ? 'never' : time(row[RET], 6) + ', after ' + lasting(row[RET] - row[CALL]));
    add('Revision', row[REVISION] == null ? null : row[REVISION] + (row[TERM] ? ', term ' + row[TERM] : '')); add('Error', row[ERROR] == null ? null : data.texts[row[ERROR]]);
    if (row[FLAGS] & 2) add('Part of', 'the reads at the end');
    for (const f of head.findings) if ((f.rows || []).includes(hit.row)) { add('Shows', f.message); break; }
    if (core.has(hit.row)) add('In', 'the smallest history that shows the violation');
    return [make('div', { class: 'title' }, '#' + row[ID] + '  ' + data.texts[row[LABEL]]), list];
  }
  if (hit.alert) {
    const a = hit.alert;
    add('Pending', time(a.from, 3)); add('Fires', a.firing == null ? 'not' : time(a.firing, 3)); add('Ends', a.to == null ? 'not' : time(a.to, 3)); add('Value', a.value);
    return [make('h4', {}, a.alert), list];
  }
  if (hit.fault) {
    const f = hit.fault, words = head.plan.faults.find(p => p.id === f.id);
    add('Hit', whom(f)); add('From', time(f.from, 4)); add('To', f.to == null ? 'the end' : time(f.to, 4) + ', after ' + lasting(f.to - f.from));
    add('Bit', f.bit == null ? null : f.bit ? count(f.bit) + ' times' : 'nothing'); add('Ended', f.detail); add('Planned', words && words.what);
    return [make('div', { class: 'title' }, f.id), list];
  }
  if (hit.state) add(hit.state.state, (hit.state.term ? 'term ' + hit.state.term + ', ' : '') + time(hit.state.from, 4) + ' to ' + time(hit.state.to, 4));
  for (const mark of hit.marks) add(time(mark.at, 4), mark.text);
  for (const f of hit.faults) add('Fault', f.action + ' (' + f.id + ')');
  return [make('div', { class: 'title' }, hit.member.name), list];
}
function showTip(hit, e) {
  tip.replaceChildren(...describe(hit)); tip.hidden = false;
  const box = picture.getBoundingClientRect(), x = e.clientX - box.left, y = e.clientY - box.top, wide = tip.offsetWidth, tall = tip.offsetHeight;
  tip.style.left = Math.max(4, x + 16 + wide < box.width ? x + 16 : x - wide - 16) + 'px';
  tip.style.top = (e.clientY + tall + 24 < innerHeight ? y + 16 : Math.max(y - tall - 12, 0)) + 'px';
}
function point(e) { if (kept != null) return; const { x, y } = place(e), hit = under(x, y); if (hit && (hit.row != null || hit.fault || hit.alert || hit.state || hit.marks.length)) showTip(hit, e); else tip.hidden = true; }
function pick(e) { const { x, y } = place(e), hit = under(x, y); letGo(); if (hit && hit.row != null) { kept = hit.row; showTip(hit, e); pin(); redraw(); } else point(e); }
function pin() { tip.classList.add('kept'); tip.append(make('button', { class: 'close', type: 'button', 'aria-label': 'Close', onclick: letGo }, '×')); }
function keep(i) { kept = i; draw(); const box = lanes.getBoundingClientRect(); showTip({ row: i }, { clientX: box.left + toX(ends[i]), clientY: box.top + layout.clients.y + rows[i][CLIENT] * layout.lane + layout.lane }); pin(); }
function letGo() { kept = null; tip.hidden = true; tip.classList.remove('kept'); redraw(); }

// Filters.
const off = new Set();
OUTCOMES.forEach((name, o) => byId('outcomes').append(make('button', { type: 'button', class: 'chip', 'aria-pressed': 'true', onclick: e => {
  const button = e.currentTarget; if (off.delete(o)) button.setAttribute('aria-pressed', 'true'); else { off.add(o); button.setAttribute('aria-pressed', 'false'); } filter();
} }, make('i', { style: `background:var(--${INK[o]})` }), name)));
byId('keys').append(...data.keys.slice(0, 500).map(k => make('option', { value: k })));
byId('client').append(...names.map((n, i) => make('option', { value: i }, n)));
byId('member').append(...head.members.map(m => make('option', { value: m.name }, m.name)));
function filter() {
  const key = byId('key').value.trim(), client = byId('client').value, member = byId('member').value;
  const keys = key && new Set(data.keys.map((k, i) => [k, i]).filter(([k]) => data.keys.includes(key) ? k === key : k.includes(key)).map(([, i]) => i));
  rows.forEach((row, i) => { on[i] = !off.has(row[OUTCOME]) && (!keys || (row[KEYS] || []).some(k => keys.has(k))) && (client === '' || row[CLIENT] === +client) && (!member || data.texts[row[ENDPOINT]] === member) ? 1 : 0; });
  redraw();
}
for (const id of ['key', 'client', 'member']) byId(id).addEventListener('input', filter);
function legend() {
  const box = (name, words) => make('span', {}, make('i', { style: 'background:' + name }), words), used = new Set(head.members.flatMap(m => m.marks.map(x => glyph(x.kind))).filter(Boolean));
  byId('legend').replaceChildren(box('var(--leader)', 'leader'), box('var(--candidate)', 'candidate'), box('var(--follower)', 'follower'),
    make('span', {}, make('i', { style: 'border:1px dashed var(--down)' }), 'down'),
    ...kinds.map(k => box(faultInk(k), k)), ...[...new Map(Object.values(MARKS)).entries()].filter(([sign]) => used.has(sign)).map(([sign, words]) => make('span', {}, make('b', {}, sign), words)),
    box('var(--ok)', 'write'), make('span', {}, make('i', { style: 'background:var(--ok);opacity:.55' }), 'read'));
}
function all() { readColours(); legend(); draw(); }
new ResizeObserver(() => { if (lanes.clientWidth !== width) redraw(); }).observe(picture);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', all);
all();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
