// Small pictures of how a number went over the last ten minutes.

import { svg } from './dom.js';

const SLOTS = 120;
const [WIDTH, HEIGHT] = [120, 28];

/** Runs of neighbours that have a value: where there is none, the line has a gap. */
function runs(values) {
  const all = [];
  let run = null;
  values.forEach((value, index) => {
    if (value === null || value === undefined) {
      run = null;
    } else {
      if (!run) all.push(run = []);
      run.push([index, value]);
    }
  });
  return all;
}

/** A picture that `draw` fills. */
export function make() {
  return svg('svg', { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
}

/** Draws lines, each `{values, tone, area}` with the newest value last, on one scale from zero. */
export function draw(picture, lines, label) {
  picture.setAttribute('aria-label', label);
  const top = Math.max(...lines.flatMap((line) => line.values.map((it) => it ?? 0)), 1e-9);
  const y = (value) => (HEIGHT - 1.5 - (value / top) * (HEIGHT - 4)).toFixed(1);
  const drawn = lines.flatMap(({ values, tone, area }) => {
    const first = SLOTS - values.length;
    const x = (index) => (((first + index) / (SLOTS - 1)) * WIDTH).toFixed(1);
    return runs(values).flatMap((run) => {
      const points = run.map(([index, value]) => `${x(index)},${y(value)}`);
      if (run.length === 1) points.push(`${Number(x(run[0][0])) + 0.8},${y(run[0][1])}`);
      const line = svg('polyline', { points: points.join(' '), class: `line ${tone}` });
      if (!area) return [line];
      const base = [`${x(run[0][0])},${HEIGHT}`, ...points, `${x(run.at(-1)[0])},${HEIGHT}`];
      return [svg('polygon', { points: base.join(' '), class: `area ${tone}` }), line];
    });
  });
  const base = svg('line', { x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1, class: 'base' });
  picture.replaceChildren(base, ...drawn);
}
