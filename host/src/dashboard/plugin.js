// The page of one plugin, and what an operator can do to it.

import { act, get } from './api.js';
import { may } from './access.js';
import { announce, fold, h, keep, part, row, say, set, table } from './dom.js';
import { confirm } from './dialog.js';
import * as events from './events.js';
import { drawSparks } from './front.js';
import { internal } from './jobs.js';
import { describe } from './schema.js';
import * as spark from './spark.js';
import { points, recent, refresh, watch } from './state.js';
import { bytes, count, failure, millis, moment, percent, rate, showState, state as stateOf } from './words.js';

const CRASH_EVENTS = new Set(['crashed', 'quarantined', 'released', 'forced_kill', 'rolled_back']);

const ACTIONS = [
  ['disable', 'Disable', () => 'Its calls are refused until it is enabled. What runs goes on to its end.', (it) => it.lifecycle !== 'DISABLED'],
  ['enable', 'Enable', () => 'It takes calls again.', (it) => ['DISABLED', 'QUARANTINED'].includes(it.lifecycle)],
  ['reload', 'Reload', (canary) => (canary ? `The trial of ${canary.generation} ends well: it serves all calls.` : 'Settings and folder are read again, and the build in the folder serves. No call is lost.'), () => true],
  ['rollback', 'Roll back', (canary) => (canary ? `The trial of ${canary.generation} ends: the build before it serves all calls.` : 'The last good build before this one serves. No call is lost.'), () => true],
];

const canaryOf = (plugin) => plugin?.generations?.find((it) => it.canary);

function actions(name, after) {
  let canary = null;
  const outcome = h('div', { role: 'status', class: 'outcome' });
  const run = async ([path, verb, consequence]) => {
    if (!await confirm(`${verb} ${name}?`, consequence(canary), verb)) return;
    say(outcome, `${verb} …`);
    try {
      const now = await act('POST', `v1/plugins/${name}/${path}`);
      set(outcome, `${verb} is done: ${name} is `, stateOf(now.lifecycle), `, generation ${now.generation}.`);
    } catch (problem) {
      set(outcome, `${verb} has not worked.`, problem.error ? failure(problem.error, problem.internal) : ` ${problem.message}`);
      announce(`${verb} of ${name} has not worked.`, true);
    }
    after();
  };
  const buttons = ACTIONS.map((action) => ({ shows: action[3], button: h('button', { type: 'button', onclick: () => run(action) }, action[1]) }));
  const update = (plugin) => {
    canary = canaryOf(plugin);
    const pressed = buttons.find((it) => it.button === document.activeElement);
    for (const { shows, button } of buttons) button.hidden = !shows(plugin);
    // Who has just pressed what is gone now is not to be left nowhere.
    if (pressed?.button.hidden) buttons.find((it) => !it.button.hidden).button.focus();
  };
  return { element: h('div', {}, h('p', { class: 'buttons' }, buttons.map((it) => it.button)), outcome), update };
}

function facts(plugin) {
  const all = {
    Version: plugin.version, File: plugin.file, Generation: plugin.generation, Lane: plugin.lane,
    Accepts: plugin.accepts?.join(', '), 'Calls at a time': plugin.thread_safe ? 'many in an instance' : 'one in an instance',
    Required: plugin.required ? 'yes' : 'no', 'Good calls': count(plugin.success_count), Errors: count(plugin.error_count), Crashes: count(plugin.crashes),
    'Running / queued': `${count(plugin.in_flight)} / ${count(plugin.queued)}`, 'Ended by force': count(plugin.forced_kills),
    'Average / latest': `${millis(plugin.avg_execution_time_ms)} / ${millis(plugin.last_execution_time_ms)}`, 'Last used': moment(plugin.last_used),
  };
  const workers = Object.entries(plugin.workers ?? {}).filter(([, it]) => it !== null && typeof it !== 'object').map(([name, it]) => [
    `Workers: ${name.replaceAll('_', ' ').replace(' bytes', '')}`, name.includes('bytes') ? bytes(it) : String(it)]);
  return [...Object.entries(all), ...workers].map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value ?? '–')));
}

function curves() {
  const [calls, latency] = [spark.make(), spark.make()];
  const [callsNow, latencyNow] = [h('p'), h('p')];
  const update = (plugin) => {
    const all = points(plugin.name);
    const now = recent(all);
    drawSparks({ calls, latency }, all);
    say(callsNow, `${rate(now.rate)} calls a second${now.calls ? `, ${percent(now.errors)} errors` : ''} in the last minute`);
    const it = plugin.latency_ms;
    say(latencyNow, it ? `p50 ${millis(it.p50)}, p90 ${millis(it.p90)}, p99 ${millis(it.p99)}, p99.9 ${millis(it['p99.9'])}, most ${millis(it.max)}` : 'No calls in the last minutes');
  };
  const curve = (title, picture, words) => h('div', { class: 'curve' }, h('h2', {}, title), picture, words);
  return { element: h('section', { class: 'halves', 'aria-label': 'Rates' }, curve('Calls and errors', calls, callsNow), curve('Latency', latency, latencyNow)), update };
}

function generations() {
  const made = table('Builds that serve, are tried, or end', ['Generation', 'State', 'Share of calls', 'Version', 'Serves since', 'Good', 'Errors', 'Crashes', 'Reason'], { class: 'cards' });
  let seen = '';
  const update = ({ generations: all }) => {
    if (seen === (seen = JSON.stringify(all))) return;
    const tried = all.reduce((sum, it) => sum + (it.canary ?? 0), 0);
    set(made.body, all.map((it, index) => row(made, h('code', {}, it.generation), stateOf(it.lifecycle),
      it.canary ? `canary, ${it.canary} %` : (index === 0 ? `${100 - tried} %` : 'none'), it.version, moment(it.since),
      count(it.success_count), count(it.error_count), count(it.crashes), it.reason ?? '–')));
  };
  return { element: made.whole, update };
}

/** The latest errors, from the jobs that had them. */
function errors(name) {
  const items = h('ul', { class: 'errors' });
  const none = h('p', { class: 'muted' }, 'None are kept.');
  const entry = (job) => {
    const told = h('div', {}, failure(job.error));
    const one = fold([moment(job.error.timestamp ?? job.finished_at), ' ', h('code', {}, job.error.details?.code), ' ', job.error.message],
      told, h('p', {}, h('a', { href: `#/jobs/${job.id}` }, 'The job')));
    // What operators are told besides stands in the job, not in the list.
    const complete = async () => set(told, failure(job.error, internal(await get(`v1/jobs/${job.id}`))));
    one.addEventListener('toggle', () => complete().catch(() => {}), { once: true });
    return h('li', {}, one);
  };
  const load = async () => {
    const page = await get(`v1/jobs?kind=all&status=FAILED&plugin=${name}&limit=12`);
    const all = page.items.filter((it) => it.error);
    keep(items, all, (it) => it.id, entry);
    none.hidden = all.length > 0;
  };
  return { latest: [none, items], load: () => load().catch(() => {}) };
}

/** Shows the page; what it gives ends it. */
export function show(root, [name]) {
  const heading = h('h1', { tabindex: '-1' }, name);
  const [state, trial, about, why, list] = [h('span'), h('span'), h('p'), h('p', { class: 'reason' }), h('dl', { class: 'facts grid' })];
  const [charts, builds, wrong] = [curves(), generations(), errors(name)];
  const [schemas, problem] = [h('div'), h('div')];
  const does = may('operate') ? actions(name, () => { refresh(); load(); }) : null;
  const happened = may('operate') ? events.list({ most: 50, admits: (it) => it.plugin === name && CRASH_EVENTS.has(it.kind), empty: 'There was none.', withPlugin: false, label: `Crashes of ${name}` }) : null;
  const told = may('operate') ? events.list({ most: 50, admits: (it) => it.plugin === name, withPlugin: false, label: `Events of ${name}` }) : null;
  const body = h('div', { hidden: true }, h('p', { class: 'bar' }, state, trial, h('a', { href: `#/try/${name}`, class: 'button' }, `Try ${name}`)), about, why,
    does?.element ?? h('p', { class: 'muted' }, 'To disable, reload or roll it back, and to see crashes and events, takes a token of the role operate.'), charts.element,
    part('Latest errors', wrong.latest), happened ? part('Crashes', happened.element) : null, part('Generations', builds.element),
    part('Options and output', schemas), part('Facts', list), told ? part('Events', told.element) : null);
  root.append(heading, problem, body);
  let [seenSchemas, stopped] = ['', false];
  const update = (plugin) => {
    body.hidden = false;
    showState(state, plugin.lifecycle);
    const canary = canaryOf(plugin);
    say(trial, canary ? `canary ${canary.generation} gets ${canary.canary} % of the calls` : '');
    say(about, plugin.description);
    say(why, [plugin.reason, plugin.file_invalid].filter(Boolean).join(' '));
    does?.update(plugin);
    charts.update(plugin);
    builds.update(plugin);
    set(list, facts(plugin));
    // Every time: the record of a call is written after its answer, and may come later than its count.
    wrong.load();
    const both = JSON.stringify([plugin.options_schema, plugin.output_schema]);
    if (seenSchemas !== (seenSchemas = both)) {
      set(schemas, plugin.options_schema ? [describe('Options', plugin.options_schema), describe('Output', plugin.output_schema)] : h('p', { class: 'muted' }, 'They are known once it is opened.'));
    }
  };
  // Its own route opens it, so that its schemas are known.
  const load = async () => {
    try {
      const plugin = await get(`v1/plugins/${encodeURIComponent(name)}`);
      if (!stopped) { set(problem); update(plugin); }
    } catch (refused) {
      if (!stopped && refused.error) { body.hidden = true; set(problem, failure(refused.error, refused.internal)); }
    }
  };
  load();
  const stop = watch(({ plugins, away }) => {
    const found = plugins.find((it) => it.name === name);
    if (found) { set(problem); update(found); } else if (!away) load();
  });
  return { stop: () => { stopped = true; stop(); happened?.stop(); told?.stop(); } };
}
