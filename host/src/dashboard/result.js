// An output as a tree that can be unfolded, lists of like things as tables, and what came beside it.

import { colour, swatch } from './draw.js';
import { h, row, table } from './dom.js';
import { bytes } from './words.js';

const isObject = (it) => it !== null && typeof it === 'object';
const MOST = 200;

/** A value in a line, with room to break it: to nine digits, for all of which there is the JSON. */
function written(value) {
  if (typeof value === 'number') return String(Number.isInteger(value) ? value : Number(value.toPrecision(9)));
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`;
  if (isObject(value)) return `{${Object.entries(value).map(([name, inner]) => `${name}: ${written(inner)}`).join(', ')}}`;
  return JSON.stringify(value);
}

function leaf(value) {
  const css = colour(value);
  if (css) return [swatch(css), h('code', {}, isObject(value) ? css : value)];
  if (typeof value === 'string') return h('span', { class: 'text' }, value);
  return h('code', {}, written(value));
}

/** Whether things are alike enough to stand in a table. */
function columns(list) {
  if (list.length < 1 || !list.every((it) => isObject(it) && !Array.isArray(it))) return null;
  const names = [...new Set(list.flatMap((it) => Object.keys(it)))];
  return names.length && names.length <= 8 && list.every((it) => Object.values(it).every((inner) => JSON.stringify(inner).length < 400)) ? names : null;
}

function brief(value) {
  if (!isObject(value) || colour(value)) return leaf(value);
  return h('code', {}, written(value));
}

/** A value, whatever it is. */
export function tree(value, name = 'Result', depth = 0) {
  if (!isObject(value) || colour(value)) return leaf(value);
  const all = Object.entries(value);
  if (!all.length) return h('code', {}, Array.isArray(value) ? 'none' : '{}');
  const names = Array.isArray(value) ? columns(value) : null;
  if (names) return listed(value, names, name);
  if (Array.isArray(value) && value.every((it) => !isObject(it)) && JSON.stringify(value).length < 400) return h('span', {}, value.map((it, index) => [index ? ', ' : '', leaf(it)]));
  const shown = all.slice(0, MOST);
  const rest = all.length - shown.length;
  const items = shown.map(([key, inner]) => {
    const isDeep = isObject(inner) && !colour(inner) && Object.keys(inner).length > 0;
    if (isDeep && depth > 0) return h('li', {}, h('details', { open: depth < 2 }, h('summary', {}, key), tree(inner, key, depth + 1)));
    return h('li', {}, h('span', { class: 'key' }, key), ' ', tree(inner, key, depth + 1));
  });
  return h('ul', { class: 'tree' }, items, rest > 0 ? h('li', { class: 'muted' }, `and ${rest} more: see it as JSON`) : null);
}

function listed(list, names, caption) {
  const made = table(`${caption}, ${list.length}`, ['#', ...names], { class: 'result' });
  list.slice(0, MOST).forEach((it, index) => {
    made.body.append(row(made, index + 1, ...names.map((name) => (name in it ? brief(it[name]) : '–'))));
  });
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, made.whole);
}

/** The bytes of an attachment that came in base64. */
const blobOf = ({ data, mime_type: type }) => new Blob([Uint8Array.from(atob(data), (it) => it.charCodeAt(0))], { type });

/** Something beside an output, from its bytes: shown where it is a picture, and there to be saved. */
export function attachment(name, blob) {
  const url = URL.createObjectURL(blob);
  const isPicture = /^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml)$/.test(blob.type);
  return h('figure', { class: 'attachment' },
    isPicture ? h('img', { src: url, alt: `Attachment ${name}` }) : null,
    h('figcaption', {}, h('a', { href: url, download: name }, name), ` ${blob.type}, ${bytes(blob.size)}`));
}

export const attachments = (list) => (list ?? []).map((it) => attachment(it.name, blobOf(it)));
