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
  const faults = put(faultRows * 17 + (head.moments.length ? 14 : 0), 18), alerted = alertRows ? put(alertRows * 17, 18) : null, members = put(head.members.length * 38, 14);
  const lane = Math.max(5, Math.min(17, Math.floor(640 / Math.max(data.clients.length, 1))));
  const clients = put(Math.max(data.clients.length, 1) * lane, watchRows ? 18 : 8);
  const watched = watchRows ? put(watchRows * 11, 8) : null;
  return { rate, latency, faults, alerted, members, clients, watched, lane, height: y };
}
const latencies = rows.map((row, i) => Math.max(ends[i] - row[CALL], 1));
// A little above the longest, so that no label and no dot lies on the edge.
const ceiling = latencies.reduce((a, b) => Math.max(a, b), 1e7) * 2.5, floor = Math.min(1e6, latencies.reduce((a, b) => Math.min(a, b), 1e6));

function draw() {
  width = lanes.clientWidth; layout = arrange();
  const c = sharp(lanes, layout.height), w = width, g = gutter();
  c.textBaseline = 'middle';
  drawGrid(c, layout.height);
  c.save(); c.beginPath(); c.rect(g, 0, plotWidth() + 1, layout.height); c.clip();
  for (const part of [layout.rate, layout.latency]) shade(c, part.y - 4, part.height + 8, .13);
  shade(c, layout.clients.y, layout.clients.height, .05);
  drawRate(c); drawLatency(c); drawFaults(c); drawAlerts(c); drawMembers(c); drawClients(c); drawWatches(c); drawMoments(c);
  c.restore();
  drawGutter(c); drawAxis(); drawOverview(); tellShown();
}
let waiting = false;
function redraw() { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } }
function ticks() {
  const step = niceStep((view.to - view.from) / Math.max(plotWidth() / (narrow() ? 48 : 90), 2)), list = [];
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
  const first = Math.floor(from / step), n = Math.max(Math.ceil(to / step) - first, 1), sums = OUTCOMES.map(() => new Float64Array(n));
  rows.forEach((_, i) => { if (!on[i]) return; const b = Math.floor(ends[i] / step) - first; if (b >= 0 && b < n) sums[look[i]][b]++; });
  return { first, n, sums };
}
const tallest = (sums, b) => sums.reduce((all, sum) => all + sum[b], 0);
function drawRate(c) {
  const { y, height } = layout.rate, step = niceStep((view.to - view.from) / Math.max(plotWidth() / 7, 4)), { first, n, sums } = buckets(view.from, view.to, step);
  let most = 0; for (let b = 0; b < n; b++) most = Math.max(most, tallest(sums, b));
  layout.rate.most = most / (step / 1e9); layout.rate.step = step;
  if (!most) return;
  for (let b = 0; b < n; b++) {
    let base = y + height; const x = toX((first + b) * step), wide = Math.max(toX((first + b + 1) * step) - x - .6, .6);
    for (const o of STACK) { const h = sums[o][b] / most * height; c.fillStyle = ink[INK[o]]; c.fillRect(x, base - h, wide, h); base -= h; }
  }
}
const lowest = Math.log10(floor), decades = Math.log10(ceiling) - lowest;
const latencyY = ns => layout.latency.y + layout.latency.height - (Math.log10(ns) - lowest) / decades * layout.latency.height;
function drawLatency(c) {
  const { y, height } = layout.latency, w = width;
  c.fillStyle = ink.line;
  for (let d = 1e3; d <= ceiling; d *= 10) if (d >= floor) c.fillRect(gutter(), Math.round(latencyY(d)), w, .5);
  const points = rows.reduce((n, _, i) => n + (on[i] && ends[i] >= view.from && ends[i] <= view.to ? 1 : 0), 0), large = points < 150 ? 5 : points < 800 ? 3.4 : 2;
  for (const o of STACK) {
    const plain = o === 0 || o === 3; c.fillStyle = ink[INK[o]]; c.globalAlpha = !plain || large > 3 ? .85 : .45;
    const size = !plain ? Math.max(2.4, large) : large;
    // One dot a place: many operations look alike.
    const taken = new Set();
    for (let i = 0; i < rows.length; i++) {
      if (!on[i] || look[i] !== o || ends[i] < view.from || ends[i] > view.to) continue;
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
    const x = toX(a.from), right = toX(faultEnd(a)), y = layout.alerted.y + a.row * 17, left = Math.max(x, gutter()), end = Math.min(right, width);
    c.fillStyle = ink.info; c.globalAlpha = .45; round(c, x, y, Math.max(right - x, 3), 14, 3); c.fill(); c.globalAlpha = 1;
    const fires = a.firing == null ? right : toX(a.firing);
    if (a.firing != null) { c.fillStyle = ink.fail; round(c, fires, y, Math.max(right - fires, 3), 14, 3); c.fill(); }
    const inside = fitted(c, a.alert, end - left - 8); if (inside.length < 4) continue;
    // Written twice, so that it can be read on both colours.
    for (const [from, to, colour] of [[left, fires, ink.ink], [fires, end, ink.dark ? '#0d1117' : '#fff']]) {
      if (to <= from) continue;
      c.save(); c.beginPath(); c.rect(from, y, to - from, 14); c.clip(); c.fillStyle = colour; c.fillText(inside, left + 4, y + 7.5); c.restore();
    }
  }
}
function round(c, x, y, w, h, r) { c.beginPath(); if (c.roundRect) c.roundRect(x, y, w, h, Math.min(r, w / 2, h / 2)); else c.rect(x, y, w, h); }
const MARKS = { started: ['▸', 'a process starts'], restarted: ['▸', 'a process starts'], ended: ['×', 'a process ends'], panic: ['!', 'a panic'], snapshotSaved: ['◆', 'snapshot saved'], snapshotSent: ['↗', 'snapshot sent'],
  snapshotInstalled: ['↓', 'snapshot installed'], compactionFinished: ['✂', 'compaction done'], voted: ['✓', 'a vote given'], configured: ['≡', 'members changed'], leaseEnded: ['◦', 'a lease ended'], segmentCut: ['|', 'WAL segment'], tornTailRepaired: ['✚', 'torn tail repaired'], wiped: ['○', 'disk wiped'], starting: ['', ''], ready: ['', ''] };
const glyph = kind => (MARKS[kind] || ['•', 'other'])[0];
function drawMembers(c) {
  const chosen = byId('member').value, { y: top, height: tall } = layout.members;
  for (const [from, to] of outages) if (to >= view.from && from <= view.to) {
    const x = toX(from); c.fillStyle = ink.bad; c.globalAlpha = .1; c.fillRect(x, top - 6, Math.max(toX(to) - x, 1), tall + 6); c.globalAlpha = 1;
  }
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
  for (const [outcome, alpha] of [[0, 1], [0, .55], [0, .08], [3, 1], [3, .08], [1, 1], [1, .08], [2, 1], [2, .08]]) {
    c.globalAlpha = alpha; c.fillStyle = ink[INK[outcome]];
    lanesOf.forEach((list, n) => {
      const top = y + n * lane + 1; let from = NaN, to = NaN;
      for (const i of list) {
        const row = rows[i];
        if (look[i] !== outcome || ends[i] < view.from || row[CALL] > view.to || alphaOf(i) !== alpha) continue;
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
  c.globalAlpha = alpha; c.fillStyle = ink[INK[look[i]]];
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
function drawWatches(c) {
  if (!layout.watched) return;
  for (const w of watches) {
    if (w.to < view.from || w.from > view.to) continue;
    const x = toX(w.from), y = layout.watched.y + w.row * 11, wide = Math.max(toX(w.to) - x, 2), shown = blames(w);
    const dim = chosenClient != null && data.clients[chosenClient] !== w.client || byId('member').value && byId('member').value !== w.member;
    c.globalAlpha = dim ? .08 : .35; c.fillStyle = shown ? ink.fail : ink.follower; c.fillRect(x, y + 2, wide, 5);
    c.globalAlpha = dim ? .08 : 1; c.fillStyle = shown ? ink.fail : ink.ok;
    let last = -9; for (const at of w.told) { const spot = toX(at); if (spot - last < 1) continue; last = spot; c.fillRect(spot - .5, y + 1, 1, 7); }
    if (w.canceled) { c.fillStyle = ink.quiet; c.fillRect(x + wide - 1, y, 2, 9); }
    if (shown) { c.strokeStyle = ink.fail; c.lineWidth = 1.5; c.strokeRect(x - 1, y + .5, wide + 2, 8.5); }
  }
  c.globalAlpha = 1;
}
const blames = w => head.findings.some(f => f.watch && f.watch[0] === w.client && f.watch[1] === w.watch);
function drawMoments(c) {
  c.lineWidth = 1;
  for (const m of head.moments) {
    if (m.at < view.from || m.at > view.to) continue;
    const x = Math.round(toX(m.at)) + .5; c.strokeStyle = m.kind === 'heal' ? ink.good : ink.bad; c.setLineDash([4, 3]);
    c.beginPath(); c.moveTo(x, 0); c.lineTo(x, layout.height); c.stroke(); c.setLineDash([]);
    c.font = '11px ' + FONT; c.fillStyle = c.strokeStyle; const wide = c.measureText(m.kind).width; c.fillText(m.kind, x + wide + 8 < width ? x + 4 : x - wide - 4, layout.faults.y + layout.faults.height - 4);
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
  c.fillStyle = ink.line; for (const part of [layout.latency, layout.faults, layout.alerted, layout.members, layout.clients, layout.watched]) if (part) c.fillRect(0, part.y - 10, w, 1);
  c.textAlign = 'left'; const title = (text, y) => { c.font = '600 11.5px ' + FONT; c.fillStyle = ink.ink; c.fillText(fitted(c, text, g - 12), 10, y); };
  title(small ? 'Rate' : 'Throughput', layout.rate.y + 7); title('Latency', layout.latency.y + 7); title('Faults', layout.faults.y + 7); if (layout.alerted) title('Alerts', layout.alerted.y + 7); if (layout.watched) title('Watches', layout.watched.y + 7);
  c.font = '10.5px ' + FONT; c.fillStyle = ink.quiet;
  if (layout.rate.most) c.fillText(fitted(c, 'to ' + count(Math.round(layout.rate.most)) + '/s', g - 12), 10, layout.rate.y + 22);
  c.textAlign = 'right';
  for (let d = 1e3; d <= ceiling; d *= 10) if (d >= floor && latencyY(d) > layout.latency.y + (small ? 18 : 4) && latencyY(d) < layout.latency.y + layout.latency.height + 2)
    c.fillText(d >= 1e9 ? d / 1e9 + ' s' : d >= 1e6 ? d / 1e6 + ' ms' : d / 1e3 + ' µs', g - 6, latencyY(d));
  c.textAlign = 'left';
  head.members.forEach((m, n) => { c.font = '600 12px ' + FONT; c.fillStyle = ink.ink; c.fillText(fitted(c, m.name, g - 12), 10, layout.members.y + n * 38 + 12); });
  c.font = Math.max(8.5, Math.min(11, layout.lane - 3)) + 'px ' + FONT; c.fillStyle = ink.quiet;
  const every = Math.ceil(11 / layout.lane);
  data.clients.forEach((_, n) => { if (n % every === 0) c.fillText(fitted(c, small ? names[n].replace(/(for )?client /, '$1c').replace('compactor', 'compact') : names[n], g - 12), 10, layout.clients.y + n * layout.lane + layout.lane / 2); });
}
const overX = t => gutter() + t / END * plotWidth();
function drawOverview() {
  const c = sharp(overview, 44), g = gutter(), h = 44, step = END / Math.max(Math.floor(plotWidth() / 3), 8), { n, sums } = buckets(0, END, step);
  for (const f of struck) { c.fillStyle = faultInk(f.action); c.globalAlpha = .2; const x = overX(f.from); c.fillRect(x, 0, Math.max(overX(faultEnd(f)) - x, 1), h); }
  c.globalAlpha = 1;
  let most = 1; for (let b = 0; b < n; b++) most = Math.max(most, tallest(sums, b));
  for (let b = 0; b < n; b++) { let base = h - 4; for (const o of STACK) { const tall = sums[o][b] / most * (h - 14); c.fillStyle = ink[INK[o]]; c.fillRect(overX(b * step), base - tall, 2.4, tall); base -= tall; } }
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
