// What an output says of places and colours, found by its shape and drawn on the picture.

import { h, svg } from './dom.js';

const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);
const isPoint = (it) => it !== null && typeof it === 'object' && isNumber(it.x) && isNumber(it.y);
const MOST = 200;

function box(it) {
  const [width, height] = [it.width ?? it.w, it.height ?? it.h];
  return isPoint(it) && isNumber(width) && isNumber(height) ? { x: it.x, y: it.y, width, height } : null;
}

/** What something is called: by itself, or by what it is in. */
function label(...owners) {
  for (const owner of owners) {
    const found = owner && ['text', 'label', 'name', 'class', 'kind', 'format'].map((key) => owner[key]).find((it) => typeof it === 'string' && it);
    if (found) return found.length > 60 ? `${found.slice(0, 59)}…` : found;
  }
  return '';
}

/** Polygons, boxes and points in an output, each with what it is called. */
export function shapes(output) {
  const found = [];
  const walk = (it, owner, depth) => {
    if (it === null || typeof it !== 'object' || depth > 12 || found.length >= MOST) return;
    if (Array.isArray(it)) {
      if (it.length > 1 && it.length <= 64 && it.every((point) => isPoint(point) && !box(point))) found.push({ points: it, label: label(owner) });
      else it.forEach((inner) => walk(inner, owner, depth + 1));
      return;
    }
    const outline = box(it);
    if (outline) found.push({ box: outline, label: label(it, owner) });
    else if (isPoint(it)) found.push({ points: [it], label: label(it, owner) });
    Object.values(it).forEach((inner) => walk(inner, it, depth + 1));
  };
  walk(output, null, 0);
  return found;
}

/** A value as a colour that CSS can say, if it is one. */
export function colour(value) {
  if (typeof value === 'string') return /^#([0-9a-f]{6}|[0-9a-f]{8})$/i.test(value) ? value : null;
  const [r, g, b] = [value?.r ?? value?.red, value?.g ?? value?.green, value?.b ?? value?.blue];
  return [r, g, b].every((it) => isNumber(it) && it >= 0 && it <= 255) ? `rgb(${r} ${g} ${b})` : null;
}

/** The colours in an output, each with its share where one is told. */
export function colours(output) {
  const found = [];
  const walk = (it, owner, depth) => {
    if (depth > 12 || found.length >= 64) return;
    const css = colour(it);
    if (css) {
      const share = [it.share, owner?.share].find(isNumber);
      found.push({ css, share, text: typeof it === 'string' ? it : css });
    } else if (it !== null && typeof it === 'object') {
      Object.values(it).forEach((inner) => walk(inner, Array.isArray(it) ? owner : it, depth + 1));
    }
  };
  walk(output, null, 0);
  return found;
}

/** A patch of a colour. */
export function swatch(css) {
  const patch = h('span', { class: 'swatch', 'aria-hidden': 'true' });
  patch.style.backgroundColor = css;
  return patch;
}

function outline(shape, size) {
  const radius = Math.max(3, size / 120);
  if (shape.box) return [svg('rect', { ...shape.box, class: 'outline' })];
  const points = shape.points.map(({ x, y }) => `${x},${y}`).join(' ');
  // The first corner is marked: it says which way up a code is.
  const first = svg('circle', { cx: shape.points[0].x, cy: shape.points[0].y, r: radius, class: 'corner' });
  return [svg(shape.points.length > 2 ? 'polygon' : 'polyline', { points, class: 'outline' }), first];
}

function number(shape, index, size) {
  const { x, y } = shape.box ?? {
    x: shape.points.reduce((sum, it) => sum + it.x, 0) / shape.points.length,
    y: shape.points.reduce((sum, it) => sum + it.y, 0) / shape.points.length,
  };
  const radius = size / 32;
  const [cx, cy] = shape.box ? [x + shape.box.width / 2, y + shape.box.height / 2] : [x, y];
  return [svg('circle', { cx, cy, r: radius, class: 'badge' }),
    svg('text', { x: cx, y: cy, 'font-size': radius * 1.3, 'text-anchor': 'middle', 'dominant-baseline': 'central' }, index + 1)];
}

function overlay(found, width, height) {
  const size = Math.max(width, height);
  const drawn = found.flatMap((shape, index) => [...outline(shape, size), ...(found.length > 1 || shape.label ? number(shape, index, size) : [])]);
  return svg('svg', { class: 'overlay', viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' }, drawn);
}

function strip(found) {
  const bar = h('div', { class: 'strip', 'aria-hidden': 'true' });
  for (const { css, share } of found) {
    const part = h('span');
    part.style.backgroundColor = css;
    part.style.flexGrow = String(share ?? 1);
    bar.append(part);
  }
  return bar;
}

/** A picture with an output drawn on it, and what is drawn in words. */
export function figure(picture, output) {
  const [found, hues] = [shapes(output), colours(output)];
  const frame = h('div', { class: 'picture' });
  const image = h('img', { src: picture.url, alt: `The picture ${picture.name}` });
  const wholeSize = [picture.width, picture.height];
  if (picture.isShown) frame.append(image);
  else frame.append(h('p', { class: 'unseen' }, 'This browser cannot show such a picture.'));
  if (picture.isShown && found.length) frame.append(overlay(found, ...wholeSize));
  if (hues.length) frame.append(strip(hues));
  const named = found.map((shape) => h('li', {}, shape.label || (shape.box ? 'a box' : `${shape.points.length} points`)));
  const patches = hues.map(({ css, share, text }) => h('li', {}, swatch(css), h('code', {}, text), isNumber(share) ? ` ${Math.round(share * 100)} %` : ''));
  const caption = h('figcaption', {},
    h('p', { class: 'muted' }, `${picture.name}${picture.isShown ? `, ${picture.width} × ${picture.height}` : ''}`),
    named.length ? [h('p', {}, found.length === 1 ? 'Drawn on it:' : `Drawn on it, ${found.length}:`), h('ol', { class: 'drawn' }, named)] : null,
    patches.length ? [h('p', {}, `Colours, ${patches.length}:`), h('ul', { class: 'palette' }, patches)] : null);
  return h('figure', {}, frame, caption);
}
