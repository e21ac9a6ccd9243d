// How numbers, times, states and errors are said.

import { h, svg } from './dom.js';

const SHAPES = {
  READY: ['good', 'disc'], SUCCESS: ['good', 'disc'], ready: ['good', 'disc'], live: ['good', 'disc'],
  LOADING: ['calm', 'ring'], PENDING: ['calm', 'ring'], starting: ['calm', 'ring'],
  DRAINING: ['calm', 'half'], RUNNING: ['calm', 'half'], draining: ['calm', 'half'],
  DISABLED: ['warn', 'square'], CANCELLED: ['warn', 'square'],
  QUARANTINED: ['warn', 'triangle'], degraded: ['warn', 'triangle'],
  REJECTED: ['bad', 'cross'], FAILED: ['bad', 'cross'], not_ready: ['bad', 'cross'], away: ['bad', 'cross'],
};

const PATHS = {
  disc: 'M6 1a5 5 0 1 0 .01 0z',
  ring: 'M6 1a5 5 0 1 0 .01 0zM6 3.2a2.8 2.8 0 1 1-.01 0z',
  half: 'M6 1a5 5 0 1 0 .01 0zM6 2.8a3.2 3.2 0 0 1 0 6.4z',
  square: 'M1.5 1.5h9v9h-9z',
  triangle: 'M6 .8L11.7 11H.3z',
  cross: 'M2.5 1L6 4.5 9.5 1 11 2.5 7.5 6 11 9.5 9.5 11 6 7.5 2.5 11 1 9.5 4.5 6 1 2.5z',
};

/** A state as a word and a shape, for those who see no colours. */
export function state(word) {
  const [tone, shape] = SHAPES[word] ?? ['calm', 'ring'];
  const drawn = svg('svg', { viewBox: '0 0 12 12', class: 'shape', 'aria-hidden': 'true' },
    svg('path', { d: PATHS[shape], 'fill-rule': 'evenodd', fill: 'currentColor' }));
  return h('span', { class: `state ${tone}`, 'data-state': word }, drawn, word.replace('_', ' '));
}

/** Puts a state into an element, if it is another. */
export function showState(element, word) {
  if (element.firstElementChild?.dataset.state !== word) element.replaceChildren(state(word));
}

const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

export function millis(value) {
  if (!isNumber(value)) return '–';
  if (value < 1) return `${Math.round(value * 1000)} µs`;
  if (value < 10) return `${value.toFixed(1)} ms`;
  return value < 10000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export function rate(value) {
  if (!isNumber(value)) return '–';
  if (value === 0) return '0';
  if (value < 0.1) return '< 0.1';
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}

export function percent(share) {
  if (!isNumber(share)) return '–';
  if (share === 0) return '0 %';
  return share < 0.001 ? '< 0.1 %' : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

export const count = (value) => (isNumber(value) ? value.toLocaleString('en') : '–');

export function bytes(value) {
  if (!isNumber(value)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; value >= 1024 && unit < 3; unit += 1) value /= 1024;
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A length of time. */
export function span(seconds) {
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${Math.max(0, Math.floor(seconds))} s`;
}

/** A moment: today's by the clock, others by the day too. */
export function moment(text) {
  if (!text) return '–';
  const time = new Date(text);
  const day = time.toDateString() === new Date().toDateString() ? '' : `${time.toLocaleDateString('en-CA')} `;
  return h('time', { datetime: text, title: text }, day + time.toLocaleTimeString('en-GB'));
}

const HINTS = {
  overloaded: 'It is busy: try again in a moment.',
  unauthorized: 'The host wants a token.',
  forbidden: 'This token may not do that.',
  payload_too_large: 'The picture is larger than the host takes.',
  plugin_unavailable: 'It takes no calls now.',
  crash: 'Its worker died of it. The host and other calls did not notice.',
  out_of_memory: 'Its worker had no memory left.',
  timeout: 'It was ended at its deadline.',
};

/** An error as callers see it, in words, with what there is for operators besides. */
export function failure(error, internal) {
  const { code, violations, reason, ...facts } = error.details ?? {};
  const told = Object.entries(facts).map(([name, value]) => [
    h('dt', {}, name), h('dd', {}, typeof value === 'string' ? value : JSON.stringify(value))]);
  const traceback = internal?.traceback;
  return h('div', { class: 'failure' },
    h('p', {}, h('strong', {}, error.type ?? 'Error'), ' ', h('code', {}, code ?? 'unknown'), ' ',
      error.plugin ? `of ${error.plugin} ` : '', error.timestamp ? ['at ', moment(error.timestamp)] : null),
    h('p', { class: 'message' }, error.message),
    reason && reason !== error.message ? h('p', {}, reason) : null,
    Array.isArray(violations) ? h('ul', {}, violations.map((it) => h('li', {}, h('code', {}, it.path || '/'), ' ', it.reason))) : null,
    HINTS[code] ? h('p', { class: 'muted' }, HINTS[code]) : null,
    told.length ? h('dl', { class: 'facts' }, told) : null,
    traceback ? h('details', { open: true }, h('summary', {}, 'Backtrace'), h('pre', { tabindex: '0' }, traceback)) : null);
}
