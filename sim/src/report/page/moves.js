// Moving about.
function show(from, to) {
  let span = Math.min(Math.max(to - from, LEAST), END), middle = (from + to) / 2;
  from = Math.min(Math.max(middle - span / 2, 0), END - span);
  view = { from, to: from + span }; redraw();
}
const showSpan = (from, to) => { const pad = Math.max((to - from) * .4, 2e8); show(from - pad, to + pad); lanes.scrollIntoView({ block: 'nearest' }); };
function showRows(list) {
  const from = Math.min(...list.map(i => rows[i][CALL])), to = Math.max(...list.map(i => Math.min(ends[i], rows[i][CALL] + 5e9))), pad = Math.max((to - from) * .8, 4e6);
  show(from - pad, to + pad); reveal(layout.clients.y + Math.max(...list.map(i => rows[i][CLIENT])) * layout.lane);
}
// The picture may be taller than the window: brings a height of it into view.
function reveal(y) { const at = lanes.getBoundingClientRect().top + y; if (at < 60 || at > innerHeight - 40) scrollTo({ top: scrollY + at - innerHeight * .8, behavior: 'smooth' }); }
function showFinding(f) {
  const list = f.rows || [], spots = [f.at, ...list.flatMap(i => [rows[i][CALL], Math.min(ends[i], rows[i][CALL] + 5e9)])];
  let from = Math.min(...spots), to = Math.max(...spots), pad = Math.max((to - from) * .8, 4e6);
  // What lies far apart, as a lease's grant and its end that never came, is no view: the instant at which it shows is.
  if (!list.length || to - from > END * .3) { from = to = f.at; pad = list.length || f.watch ? END * .04 : 2e8; }
  show(from - pad, to + pad);
  const w = f.watch && watches.find(w => w.client === f.watch[0] && w.watch === f.watch[1]);
  reveal(w ? layout.watched.y + w.row * 11 : list.length ? layout.clients.y + Math.max(...list.map(i => rows[i][CLIENT])) * layout.lane : layout.members.y);
}
const shownFindings = head.findings.filter(f => f.at != null).sort((a, b) => a.at - b.at), firstFinding = shownFindings[0]; let turn = 0;
// To the next finding, or the one before.
function step(by) { if (!firstFinding) return; turn = (turn + by + shownFindings.length) % shownFindings.length; showFinding(shownFindings[turn]); }
if (firstFinding) { byId('first-error').hidden = false; byId('first-error').addEventListener('click', () => { turn = 0; showFinding(firstFinding); }); }
function zoom(factor, at = (view.from + view.to) / 2) { const span = Math.min(Math.max((view.to - view.from) * factor, LEAST), END), part = (at - view.from) / (view.to - view.from); show(at - part * span, at + (1 - part) * span); }
const pan = part => { const by = (view.to - view.from) * part; show(view.from + by, view.to + by); };
byId('in').addEventListener('click', () => zoom(.5)); byId('out').addEventListener('click', () => zoom(2)); byId('fit').addEventListener('click', () => show(0, END));
document.addEventListener('keydown', e => {
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) || e.ctrlKey || e.metaKey || e.altKey) return;
  const act = { ArrowLeft: () => pan(-.2), ArrowRight: () => pan(.2), '+': () => zoom(.6), '=': () => zoom(.6), '-': () => zoom(1 / .6), 0: () => show(0, END), e: () => { turn = 0; step(0); }, n: () => step(1), p: () => step(-1), Escape: () => letGo() }[e.key];
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
  if (layout.watched && within(layout.watched)) { const w = watches.find(w => w.row === Math.floor((y - layout.watched.y) / 11) && x >= toX(w.from) - 3 && x <= toX(w.to) + 3); return w ? { watch: w } : null; }
  if (layout.alerted && within(layout.alerted)) { const a = alerts.find(a => a.row === Math.floor((y - layout.alerted.y) / 17) && x >= toX(a.from) - 3 && x <= toX(faultEnd(a)) + 3); return a ? { alert: a } : null; }
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
    add('Outcome', OUTCOMES[look[hit.row]]); add('Client', names[row[CLIENT]]); add('Asked', data.texts[row[ENDPOINT]]);
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
    return [make('div', { class: 'title' }, a.alert), list];
  }
  if (hit.watch) {
    const w = hit.watch, f = head.findings.find(f => f.watch && f.watch[0] === w.client && f.watch[1] === w.watch);
    add('Watches', w.keys); add('From', 'revision ' + count(w.revision)); add('At', w.member); add('Made', time(w.from, 4));
    add('Heard', count(w.events) + ' events in ' + count(w.told.length) + ' answers'); add(w.canceled ? 'Ended by the member' : 'Last heard', time(w.to, 4)); add('Shows', f && f.message);
    return [make('div', { class: 'title' }, 'client ' + w.client + ', watch ' + w.watch), list];
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
function point(e) { if (kept != null) return; const { x, y } = place(e), hit = under(x, y); if (hit && (hit.row != null || hit.fault || hit.alert || hit.watch || hit.state || hit.marks.length)) showTip(hit, e); else tip.hidden = true; }
function pick(e) { const { x, y } = place(e), hit = under(x, y); letGo(); if (hit && hit.row != null) { kept = hit.row; showTip(hit, e); pin(); redraw(); } else point(e); }
function pin() { tip.classList.add('kept'); tip.append(make('button', { class: 'close', type: 'button', 'aria-label': 'Close', onclick: letGo }, '×')); }
function keep(i) { kept = i; draw(); const box = lanes.getBoundingClientRect(); showTip({ row: i }, { clientX: box.left + toX(ends[i]), clientY: box.top + layout.clients.y + rows[i][CLIENT] * layout.lane + layout.lane }); pin(); }
function letGo() { kept = null; tip.hidden = true; tip.classList.remove('kept'); redraw(); }

// Filters.
const off = new Set(); let chosenClient = null;
const used = o => look.includes(o);
[0, 3, 1, 2].filter(o => o !== 3 || look.includes(3)).forEach(o => byId('outcomes').append(make('button', { type: 'button', class: 'chip', 'aria-pressed': 'true', onclick: e => {
  const button = e.currentTarget; if (off.delete(o)) button.setAttribute('aria-pressed', 'true'); else { off.add(o); button.setAttribute('aria-pressed', 'false'); } filter();
} }, make('i', { style: `background:var(--${INK[o]})` }), OUTCOMES[o])));
byId('keys').append(...data.keys.slice(0, 500).map(k => make('option', { value: k })));
byId('client').append(...names.map((n, i) => make('option', { value: i }, n)));
byId('member').append(...head.members.map(m => make('option', { value: m.name }, m.name)));
function filter() {
  const key = byId('key').value.trim(), client = byId('client').value, member = byId('member').value;
  chosenClient = client === '' ? null : +client;
  const keys = key && new Set(data.keys.map((k, i) => [k, i]).filter(([k]) => data.keys.includes(key) ? k === key : k.includes(key)).map(([, i]) => i));
  rows.forEach((row, i) => { on[i] = !off.has(look[i]) && (!keys || (row[KEYS] || []).some(k => keys.has(k))) && (client === '' || row[CLIENT] === +client) && (!member || data.texts[row[ENDPOINT]] === member) ? 1 : 0; });
  redraw();
}
for (const id of ['key', 'client', 'member']) byId(id).addEventListener('input', filter);
function legend() {
  const box = (name, words, style = '') => make('span', {}, make('i', { style: 'background:' + name + ';' + style }), words), states = new Set(head.members.flatMap(m => m.states.map(s => s.state)));
  const signs = new Set(head.members.flatMap(m => m.marks.map(x => glyph(x.kind))).filter(Boolean)), told = [...new Map(Object.values(MARKS)).entries()].filter(([sign]) => signs.has(sign));
  if (signs.has('•')) told.push(['•', 'something else: point at it']);
  byId('legend').replaceChildren(
    ...['leader', 'candidate', 'pre-candidate', 'follower', 'running', 'starting'].filter(s => states.has(s)).map(s => box('var(--' + s.replace('-', '') + ')', s)),
    ...states.has('down') ? [make('span', {}, make('i', { style: 'border:1px dashed var(--down)' }), 'down')] : [],
    ...outages.length ? [box('var(--bad)', 'no majority is up', 'opacity:.25')] : [],
    ...kinds.map(k => box(faultInk(k), k)),
    ...struck.some(f => f.bit === 0) ? [box('var(--quiet)', 'pale: bit nothing', 'opacity:.35')] : [],
    ...alerts.length ? [box('var(--info)', 'alert pending', 'opacity:.45'), box('var(--fail)', 'alert fires')] : [],
    ...told.map(([sign, words]) => make('span', {}, make('b', {}, sign), words)),
    box('var(--ok)', 'write'), box('var(--ok)', 'read', 'opacity:.55'),
    ...watches.length ? [box('var(--follower)', 'watch, with what it heard', 'opacity:.6')] : []);
}
function all() { readColours(); legend(); draw(); }
new ResizeObserver(() => { if (lanes.clientWidth !== width) redraw(); }).observe(picture);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', all);
all();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
