// What happens on the host, live: one stream for the whole page, which goes on where it was cut off.

import { Away, Refused, stream } from './api.js';
import { may } from './access.js';
import { h, keep, say } from './dom.js';
import { refreshSoon } from './state.js';
import { moment, showState } from './words.js';

const KEPT = 500;
const WORRYING = new Set(['rejected', 'held', 'crashed', 'quarantined', 'rolled_back', 'forced_kill', 'restart_required', 'folder_problem',
  'configuration_rejected', 'jobs_taken_over', 'store_failed', 'missed']);
const SOUR = new Set(['job_failed', 'job_retrying', 'disabled', 'job_cancelled']);

/** The latest first. */
export const events = [];
let status = 'starting';
let last = '0';
const watchers = new Set();

/** Calls `watcher` with every event, until the function that it gives is called. */
export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function tell(word) {
  status = word ?? status;
  watchers.forEach((watcher) => watcher());
}

const pause = (delay) => new Promise((resolve) => { setTimeout(resolve, delay); });

function take(frame) {
  if (frame.id) last = frame.id;
  if (!frame.data) return;
  const event = JSON.parse(frame.data);
  events.unshift({ key: `${frame.id ?? ''}/${event.kind}/${events.length}`, time: new Date().toISOString(), ...event });
  events.length = Math.min(events.length, KEPT);
  refreshSoon();
}

/** Follows the stream for as long as the page is there. */
export async function follow() {
  while (may('operate')) {
    try {
      const frames = stream('v1/events', { 'Last-Event-ID': last });
      for await (const frame of frames) {
        take(frame);
        tell('live');
      }
    } catch (problem) {
      if (problem instanceof Refused && problem.status < 500 && problem.status !== 429) {
        // What we would go on from is not to be had.
        if (last === '0') return tell('not_ready');
        last = '0';
      } else if (!(problem instanceof Away || problem instanceof TypeError || problem instanceof Refused)) {
        console.warn(problem);
      }
    }
    tell('away');
    refreshSoon();
    await pause(1000);
  }
  return undefined;
}

function tone(kind) {
  if (WORRYING.has(kind)) return 'bad';
  return SOUR.has(kind) ? 'warn' : 'calm';
}

function line(event, withPlugin) {
  const details = Object.entries(event.details ?? {}).filter(([name]) => name !== 'job');
  const job = event.details?.job;
  return h('li', { class: tone(event.kind) },
    moment(event.time), ' ', h('strong', {}, event.kind.replaceAll('_', ' ')), ' ',
    withPlugin && event.plugin ? [h('a', { href: `#/plugins/${event.plugin}` }, event.plugin), ' '] : null,
    event.generation ? [h('code', {}, event.generation), ' '] : null,
    event.file && !event.plugin ? [h('code', {}, event.file), ' '] : null,
    job ? [h('a', { href: `#/jobs/${job}` }, `job …${String(job).slice(-6)}`), ' '] : null,
    event.reason ? h('span', {}, event.reason) : null,
    details.length ? h('span', { class: 'muted' }, ` ${details.map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' · ')}`) : null);
}

/** A list of events that keeps itself up to date. */
export function list({ most = KEPT, admits = () => true, empty = 'Nothing has happened yet.', withPlugin = true, label = 'Events' } = {}) {
  const live = h('span', { class: 'live' });
  const none = h('p', { class: 'muted' }, empty);
  const items = h('ol', { class: 'events', 'aria-label': label, tabindex: '0' });
  const update = () => {
    showState(live, status);
    const shown = events.filter(admits).slice(0, most);
    none.hidden = shown.length > 0;
    items.hidden = shown.length === 0;
    keep(items, shown, (it) => it.key, (it) => line(it, withPlugin));
  };
  update();
  return { live, element: h('div', {}, none, items), update, stop: watch(update) };
}

/** The page with all of them. */
export function show(root) {
  if (!may('operate')) {
    root.append(h('h1', { tabindex: '-1' }, 'Events'), h('p', {}, 'To see them takes a token of the role operate.'));
    return {};
  }
  const search = h('input', { id: 'event-search', type: 'search', oninput: () => all.update() });
  const told = h('span', { role: 'status' });
  const matches = (event) => JSON.stringify(event).toLowerCase().includes(search.value.toLowerCase());
  const all = list({ admits: matches, empty: 'No event matches.' });
  root.append(h('h1', { tabindex: '-1' }, 'Events'), h('p', { class: 'bar' }, h('label', { for: 'event-search' }, 'Only those with'), search,
    all.live, told), h('section', { class: 'whole', 'aria-label': 'Events' }, all.element));
  const stop = watch(() => say(told, `${events.length} kept`));
  return { stop: () => { stop(); all.stop(); } };
}
