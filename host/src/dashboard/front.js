// The whole host at a glance.

import { may } from './access.js';
import { h, keep, part, row, say, set, table } from './dom.js';
import * as events from './events.js';
import * as jobs from './jobs.js';
import * as spark from './spark.js';
import { points, recent, watch } from './state.js';
import { count, millis, percent, rate, showState, span, state as stateOf } from './words.js';

function tile(name) {
  const value = h('dd');
  return { element: h('div', { class: 'tile' }, h('dt', {}, name), value), value };
}

/** The host's readiness in one word. */
export function readiness({ ready, away }) {
  if (away) return 'away';
  if (!ready) return 'starting';
  return ready.status === 'ready' && ready.degraded?.length ? 'degraded' : ready.status;
}

function tiles() {
  const names = ['State', 'Up for', 'Version', 'Plugins ready', 'Calls a second', 'Errors'];
  const all = names.map(tile);
  const [state, uptime, version, plugins, calls, errors] = all.map((it) => it.value);
  const update = (host) => {
    showState(state, readiness(host));
    say(uptime, host.host ? span((Date.now() - Date.parse(host.host.started_at)) / 1000) : null);
    say(version, host.host?.version);
    const isReady = host.plugins.filter((it) => it.lifecycle === 'READY').length;
    say(plugins, `${isReady} of ${host.plugins.length + host.refused.length}`);
    const rates = host.plugins.map((it) => recent(points(it.name)));
    const known = rates.filter((it) => it.rate !== null);
    const total = known.reduce((sum, it) => sum + it.calls, 0);
    const wrong = known.reduce((sum, it) => sum + it.calls * (it.errors ?? 0), 0);
    say(calls, known.length ? rate(known.reduce((sum, it) => sum + it.rate, 0)) : null);
    say(errors, total ? percent(wrong / total) : null);
  };
  return { element: h('dl', { class: 'tiles' }, all.map((it) => it.element)), update };
}

const HEADS = ['Plugin', 'State', 'Generation', 'Lane', 'Calls a second', 'Errors', 'p50', 'p99', 'Latency', 'Running / queued'];

function pluginRow(made, { name }) {
  const cells = Object.fromEntries(['version', 'state', 'generation', 'canary', 'lane', 'rate', 'errors', 'p50', 'p99', 'load'].map((key) => [key, h('span', { class: key })]));
  const [calls, latency] = [spark.make(), spark.make()];
  const line = row(made,
    [h('a', { href: `#/plugins/${name}` }, name), ' ', cells.version],
    cells.state, [h('code', {}, cells.generation), ' ', cells.canary], cells.lane,
    h('span', { class: 'pair' }, calls, cells.rate), cells.errors, cells.p50, cells.p99, latency, cells.load);
  line.texts = cells;
  line.sparks = { calls, latency };
  return line;
}

function updateRow({ texts: cells, sparks }, plugin) {
  const all = points(plugin.name);
  const now = recent(all);
  showState(cells.state, plugin.lifecycle);
  say(cells.version, plugin.version);
  say(cells.generation, plugin.generation);
  const canary = plugin.generations?.find((it) => it.canary);
  say(cells.canary, canary ? `+ ${canary.canary} % ${canary.generation}` : '');
  say(cells.lane, plugin.lane);
  say(cells.rate, rate(now.rate));
  say(cells.errors, percent(now.errors));
  cells.errors.classList.toggle('bad', now.errors > 0.01);
  say(cells.p50, millis(plugin.latency_ms?.p50));
  say(cells.p99, millis(plugin.latency_ms?.p99));
  say(cells.load, `${count(plugin.in_flight)} / ${count(plugin.queued)}`);
  drawSparks(sparks, all);
}

/** Draws how often a plugin was called, and how long that took. */
export function drawSparks({ calls, latency }, all) {
  const most = (values) => Math.max(0, ...values.map((it) => it ?? 0));
  const rates = all.map((it) => it.calls / it.s);
  const [wrong, p50, p99] = [all.map((it) => it.errors / it.s), all.map((it) => it.p50), all.map((it) => it.p99)];
  const errorLine = most(wrong) > 0 ? [{ values: wrong, tone: 'bad' }] : [];
  spark.draw(calls, [{ values: rates, tone: 'calm', area: true }, ...errorLine],
    `Calls a second over ten minutes, at most ${rate(most(rates))}; errors at most ${rate(most(wrong))}`);
  spark.draw(latency, [{ values: p99, tone: 'warn' }, { values: p50, tone: 'calm' }],
    `Latency over ten minutes: p50 at most ${millis(most(p50))}, p99 at most ${millis(most(p99))}`);
}

function pluginTable() {
  const made = table('Rates are of the last minute, curves and percentiles of the last minutes', HEADS, { class: 'cards plugins' });
  const none = h('p', { class: 'muted', hidden: true }, 'The folder holds no plugin yet: put one in, and it is served.');
  const update = ({ plugins, host }) => {
    none.hidden = !host || plugins.length > 0;
    made.whole.hidden = plugins.length === 0;
    keep(made.body, plugins, (it) => it.name, (it) => pluginRow(made, it), updateRow);
  };
  return { element: [made.whole, none], update };
}

/** What is not well: by name, with what was found and what to do. */
function unwell() {
  const items = h('ul', { class: 'reasons' });
  const section = part('Not well', items);
  let seen = '';
  const update = ({ ready, refused }) => {
    const told = ready?.degraded ?? refused;
    const missing = (ready?.missing ?? []).map((name) => ({ plugin: name, lifecycle: 'not_ready', reason: 'it is required, and does not serve' }));
    const all = [...missing, ...told];
    section.hidden = all.length === 0;
    if (seen === (seen = JSON.stringify(all))) return;
    set(items, all.map(({ plugin, name, file, lifecycle, reason }) => h('li', {},
      lifecycle ? [stateOf(lifecycle), ' '] : null,
      plugin && lifecycle !== 'REJECTED' ? [h('a', { href: `#/plugins/${plugin}` }, plugin), ' '] : null,
      file ? [h('code', {}, file), ' '] : null, (plugin ?? name) && lifecycle === 'REJECTED' ? `(${plugin ?? name}) ` : null,
      h('span', { class: 'reason' }, reason ?? ''))));
  };
  return { section, update };
}

/** Shows the page; what it gives ends it. */
export function show(root) {
  const [top, plugins, wrong] = [tiles(), pluginTable(), unwell()];
  const latest = jobs.list({ kind: 'all', limit: 8 });
  const happened = may('operate') ? events.list({ most: 40 }) : null;
  root.append(h('h1', { tabindex: '-1' }, 'Host'), top.element, wrong.section, part('Plugins', plugins.element),
    h('div', { class: 'halves' },
      part('Latest calls and jobs', latest.element, h('p', {}, h('a', { href: '#/jobs' }, 'All jobs'))),
      happened ? part('Events', h('p', {}, happened.live, ' ', h('a', { href: '#/events' }, 'All events')), happened.element) : null));
  const update = (host) => [top, plugins, wrong].forEach((it) => it.update(host));
  const stop = watch(update);
  return { update, stop: () => { stop(); latest.stop(); happened?.stop(); } };
}
