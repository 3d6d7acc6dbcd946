const head = read('head');
const S = head.summary, F = S.figures, points = head.points;
readColours();
const fresh = S.findings.filter(f => !f.known), missed = S.canaries.filter(c => c.found_by == null);
const sought = S.campaigns.length > 0 && S.campaigns.every(c => c.planted_bug);
const verdict = sought ? (fresh.length ? 'valid' : 'invalid') : fresh.length ? 'invalid' : S.missing.length || S.contradictions.length || missed.length || F.unknown ? 'unknown' : 'valid';
byId('verdict').textContent = sought ? (fresh.length ? 'the planted bug was found' : 'the planted bug was not found') : fresh.length ? count(fresh.length) + (fresh.length === 1 ? ' finding' : ' findings') : verdict === 'valid' ? 'nothing found' : 'incomplete';
byId('verdict').classList.add(verdict);
byId('name').textContent = S.campaigns.map(c => c.seed).join(', ');
byId('about').textContent = S.campaigns.map(c => 'Explores ' + (!c.scenarios.length ? 'the scenarios that it draws: clusters, networks, disks, clients and faults' : c.scenarios.length === 1 ? c.scenarios[0] : count(c.scenarios.length) + ' scenarios')
  + (S.shard ? ', as the shard ' + S.shard : '') + (c.planted_bug ? ', with the planted bug ' + c.planted_bug : '') + '.').filter((t, i, all) => all.indexOf(t) === i).join(' ');
const fixed = (n, digits) => n.toLocaleString('en-US', { maximumFractionDigits: digits });
const per = F.cpu_seconds > 0, plural = (n, word) => count(n) + ' ' + word + (n === 1 ? '' : 's');
const span = s => s < 600 ? fixed(s, 0) + ' s' : s < 36000 ? fixed(s / 60, 0) + ' min' : fixed(s / 3600, 1) + ' h';
facts(byId('facts'), [['Iterations', count(F.iterations)], ['Valid', count(F.valid)], ['Invalid', count(F.invalid)], ['Unknown', count(F.unknown)],
  ['Run twice', count(F.twice)], ['Operations', count(F.operations)], ['Faults', count(F.faults)], ['Simulated', span(F.simulated_seconds)],
  ['CPU', fixed(F.cpu_seconds, 0) + ' s'], ['Iterations a CPU-second', per ? fixed(F.iterations / F.cpu_seconds, 2) : null],
  ['Simulated years a core-day', per ? fixed(F.simulated_seconds / F.cpu_seconds / 365.25, 2) : null]]);

const warnings = [...S.missing, ...S.contradictions.map(c => 'one seed, two outcomes: ' + c), ...missed.map(c => 'canary not found: ' + c.name + ', in ' + plural(c.runs, 'seed'))];
if (F.unknown) warnings.push(plural(F.unknown, 'run') + (F.unknown === 1 ? ' was' : ' were') + ' not decided');
if (warnings.length) { byId('warnings').hidden = false; byId('warning-list').append(...warnings.slice(0, 200).map(w => make('li', {}, w))); }

function link(path, text) { return make('a', { href: path.split('/').map(encodeURIComponent).join('/') }, text); }
function card(f) {
  const list = make('dl', { class: 'facts' }), copy = make('button', { type: 'button' }, 'Copy'); copyButton(copy, f.reproduce);
  facts(list, [['First met', 'iteration ' + count(f.index) + ', after ' + fixed(f.cpu_seconds_to_find, 1) + ' CPU-seconds'], ['Scenario', f.scenario], ['Seeds', f.seeds.join(', ')],
    ['Run folder', f.run_dir ? link(f.run_dir + '/report.html', f.run_dir) : null],
    ['Shrunk', f.shrunk ? make('span', {}, f.shrunk.faults + ' of ' + plural(f.shrunk.faults_before, 'fault') + ', in ' + plural(f.shrunk.runs, 'run') + ': ', link('findings/' + f.id + '/' + f.shrunk.file, f.shrunk.file)) : null]]);
  return make('article', { class: 'card finding' + (f.known ? ' known' : '') },
    make('div', { class: 'head' }, make('h3', {}, promise(f.signature.checker, f.signature.rule)), make('span', { class: 'runs' }, plural(f.runs, 'run') + (f.known ? ', known' : ''))),
    make('p', {}, f.message), list, make('div', { class: 'copy' }, make('code', {}, words(f.reproduce)), copy));
}
byId('finding-count').textContent = S.findings.length || '';
if (S.findings.length) byId('cards').append(...S.findings.slice(0, 100).map(card)); else byId('cards').append(make('div', { class: 'card' }, make('p', { class: 'none' }, 'No guarantee was broken in ' + plural(F.iterations, 'run') + '.')));
if (S.findings.length > 100) byId('cards').append(make('p', { class: 'quiet' }, count(S.findings.length - 100) + ' more: see campaign.json'));

// Runs in their order: each column is a share of them, with verdicts below and speed above.
function drawRuns() {
  const canvas = byId('runs'), c = sharp(canvas, 220), w = canvas.clientWidth, left = 62, right = w - 8, wide = right - left, n = points.length;
  c.textBaseline = 'middle'; c.font = '11px ' + FONT; c.fillStyle = ink.quiet;
  if (!n) { c.fillText('no runs', left, 100); return; }
  const speed = points.map(p => p.cpu_seconds > 0 ? p.runs / p.cpu_seconds : 0), fastest = Math.max(...speed, 1e-9), top = 24, tall = 84, base = 134, bars = 56;
  const step = niceStep(fastest / 2.5);
  for (let s = 0; s <= fastest; s += step) { const y = top + tall - s / fastest * tall; c.fillStyle = ink.soft; c.fillRect(left, Math.round(y), wide, 1); c.fillStyle = ink.quiet; c.textAlign = 'right'; c.fillText(fixed(s, 2), left - 6, y); }
  c.textAlign = 'left'; c.fillText('iterations a CPU-second', left, 8);
  c.strokeStyle = ink.ok; c.lineWidth = 1.5; c.beginPath();
  points.forEach((p, i) => { const x = left + (i + .5) / n * wide, y = top + tall - speed[i] / fastest * tall; i ? c.lineTo(x, y) : c.moveTo(x, y); }); c.stroke();
  points.forEach((p, i) => {
    const x = left + i / n * wide, part = Math.max(wide / n - .5, .8); let y = base + bars;
    for (const [share, colour] of [[p.valid, ink.ok], [p.unknown, ink.info], [p.invalid, ink.fail]]) { const h = share / Math.max(p.runs, 1) * bars; c.fillStyle = colour; c.globalAlpha = colour === ink.ok ? .35 : 1; c.fillRect(x, y - Math.max(h, share ? 2 : 0), part, Math.max(h, share ? 2 : 0)); y -= h; c.globalAlpha = 1; }
  });
  c.fillStyle = ink.quiet; c.textAlign = 'right'; c.fillText('verdicts', left - 6, base + bars / 2); c.textAlign = 'left';
  c.fillText('iteration ' + count(points[0].from), left, 206); c.textAlign = 'right'; c.fillText(count(points[n - 1].to), right, 206); c.textAlign = 'left';
  const span = points[n - 1].to - points[0].from || 1;
  S.findings.slice(0, 40).forEach(f => { const x = left + (f.index - points[0].from) / span * wide; c.fillStyle = f.known ? ink.quiet : ink.fail; c.beginPath(); c.moveTo(x - 5, base - 14); c.lineTo(x + 5, base - 14); c.lineTo(x, base - 4); c.fill(); });
}
const box = (colour, words, alpha = 1) => make('span', {}, make('i', { style: `background:var(--${colour});opacity:${alpha}` }), words);
byId('legend').append(box('ok', 'speed'), box('ok', 'valid', .35), box('info', 'unknown'), box('fail', 'invalid'), make('span', {}, make('b', { class: 'bad' }, '▼'), 'a finding is first met'));

if (S.canaries.length) {
  byId('canary-part').hidden = false;
  byId('canary-count').textContent = count(S.canaries.length - missed.length) + ' of ' + count(S.canaries.length) + ' found';
  const most = Math.max(...S.canaries.map(c => c.cpu_seconds), 1e-9);
  byId('canaries').append(make('thead', {}, make('tr', {}, make('th', {}, 'Planted bug'), make('th', {}, 'Found by'), make('th', { class: 'num' }, 'Seeds'), make('th', { class: 'num' }, 'CPU-seconds'), make('th', { class: 'barcell' }))),
    make('tbody', {}, S.canaries.map(c => make('tr', {}, make('td', {}, c.name), make('td', {}, c.found_by == null ? make('span', { class: 'bad' }, 'not found') : make('span', { class: 'good' }, 'seed ' + c.found_by)),
      make('td', { class: 'num' }, count(c.runs)), make('td', { class: 'num' }, fixed(c.cpu_seconds, 1)), make('td', { class: 'barcell' }, make('i', { class: 'bar', style: `width:${c.cpu_seconds / most * 100}%` }))))));
}
const seen = Object.entries(S.seen);
if (seen.length) {
  byId('seen-part').hidden = false;
  const table = (title, entries, wide) => {
    // What was never seen comes first, then what is rare.
    entries.sort((a, b) => a[1] - b[1] || a[0].localeCompare(b[0]));
    const there = entries.filter(([, n]) => n).length;
    return make('div', { class: 'card' + (wide ? ' wide' : '') }, make('h3', {}, title + ': ' + there + ' of ' + entries.length), make('table', {}, make('tbody', {}, entries.map(([name, n]) => make('tr', {},
      make('td', {}, name.replace(/^(bites|point)\./, ''), head.words[name] ? make('span', { class: 'what' }, head.words[name]) : null), make('td', { class: 'num' }, n ? count(n) : make('span', { class: 'bad' }, 'never')),
      make('td', { class: 'barcell' }, make('i', { class: 'bar', style: `width:${Math.min(n / Math.max(F.iterations, 1), 1) * 100}%` })))))));
  };
  byId('seen').append(table('Faults that bit', seen.filter(([name]) => name.startsWith('bites.'))), table('Sometimes-properties', seen.filter(([name]) => !/^(bites|point)\./.test(name))));
  const points = seen.filter(([name]) => name.startsWith('point.')); if (points.length) byId('seen').append(table('Points reached in the store', points, true));
}
byId('more').append(...S.campaigns.map(c => make('p', { class: 'mono' }, 'campaign ' + c.seed + ': ' + [c.build.commit, c.build.tree, c.build.toolchain, 'lock ' + c.build.lock, 'sources ' + c.build.sources].join(', '))), make('p', { class: 'mono' }, 'digest of all runs ' + S.digest));
new ResizeObserver(() => requestAnimationFrame(drawRuns)).observe(byId('runs').parentElement);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { readColours(); drawRuns(); });
drawRuns();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
