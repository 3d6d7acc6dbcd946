'use strict';
// What both pages share. Every text of a run goes through textContent or a canvas, never into markup.
const byId = id => document.getElementById(id);
const read = id => { const e = byId(id); return e ? JSON.parse(e.textContent) : null; };
function make(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === 'class') e.className = value;
    else if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (name === 'colour') e.style.background = value;
    else if (value !== false && value != null) e.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat()) if (child != null) e.append(child);
  return e;
}
const count = n => n.toLocaleString('en-US');
// Nanoseconds as a person says them, with digits that fit the unit.
function time(ns, digits = 3) { return (ns / 1e9).toFixed(digits) + ' s'; }
function lasting(ns) {
  if (ns >= 1e9) return (ns / 1e9).toFixed(2) + ' s';
  if (ns >= 1e6) return (ns / 1e6).toFixed(ns >= 1e8 ? 0 : 1) + ' ms';
  if (ns >= 1e3) return (ns / 1e3).toFixed(0) + ' µs';
  return ns + ' ns';
}
function copyButton(button, text) {
  button.addEventListener('click', async () => {
    try { await navigator.clipboard.writeText(text); }
    catch {
      // A page from disk may not have the clipboard: select the text instead.
      const area = make('textarea'); area.value = text; document.body.append(area); area.select();
      document.execCommand('copy'); area.remove();
    }
    const before = button.textContent; button.textContent = 'Copied';
    setTimeout(() => { button.textContent = before; }, 1200);
  });
}
// A command by its words, so that a narrow window breaks it at spaces and not after hyphens.
const words = text => text.split(' ').flatMap((word, i) => [i ? ' ' : null, make('span', { class: 'word' }, word)]);
function facts(list, pairs) {
  for (const [name, value] of pairs) if (value != null) list.append(make('div', {}, make('dt', {}, name), make('dd', {}, value)));
}
// The page's colours, read again when the scheme changes.
let ink = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ['bg', 'panel', 'ink', 'quiet', 'line', 'soft', 'accent', 'ok', 'refused', 'fail', 'info', 'good', 'bad', 'unsure', 'leader',
    'candidate', 'precandidate', 'follower', 'running', 'starting', 'down']) ink[name] = style.getPropertyValue('--' + name).trim();
  ink.dark = matchMedia('(prefers-color-scheme: dark)').matches;
}
// A canvas that is as sharp as the screen.
function sharp(canvas, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 3), width = canvas.clientWidth;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    canvas.style.height = height + 'px';
  }
  const c = canvas.getContext('2d');
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  return c;
}
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif';
// Text cut to a width, with an ellipsis.
function fitted(c, text, width) {
  if (width < 8) return '';
  if (c.measureText(text).width <= width) return text;
  let low = 0, high = text.length;
  while (low < high) { const middle = (low + high + 1) >> 1; if (c.measureText(text.slice(0, middle) + '…').width <= width) low = middle; else high = middle - 1; }
  return low ? text.slice(0, low) + '…' : '';
}
// A step of 1, 2 or 5 times a power of ten, at least `least`.
function niceStep(least) {
  const power = Math.pow(10, Math.floor(Math.log10(least)));
  for (const m of [1, 2, 5, 10]) if (m * power >= least) return m * power;
  return 10 * power;
}
// A guarantee with its checker's name, which some begin with already.
const promise = (checker, guarantee) => guarantee.startsWith(checker + ': ') ? guarantee : checker + ': ' + guarantee;
