// Jobs: the latest, by status and plugin; one of them with all there is; what can be done to them.

import { act, ask, get } from './api.js';
import { announce, h, keep, part, row, say, set, table } from './dom.js';
import { confirm } from './dialog.js';
import { attachment, tree } from './result.js';
import * as events from './events.js';
import { state } from './state.js';
import { bytes, failure, millis, moment, showState } from './words.js';

const STATUSES = ['PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED'];
const EVERY = 5000;
const isOver = (job) => ['SUCCESS', 'FAILED', 'CANCELLED'].includes(job.status);

async function change(job, verb, after) {
  const isCancel = verb === 'Cancel';
  const consequence = isCancel ? 'It ends where it is, and gives no result.' : 'It is run once more, with the same picture and options.';
  if (!await confirm(`${verb} the job of ${job.plugin}?`, consequence, isCancel ? 'Cancel the job' : 'Run it again')) return;
  try {
    const now = await act(isCancel ? 'DELETE' : 'POST', `v1/jobs/${job.id}${isCancel ? '' : '/retry'}`);
    announce(`The job of ${job.plugin} is ${now.status}.`);
  } catch (problem) {
    announce(`The job of ${job.plugin} stays as it is: ${problem.message}`, true);
  }
  after();
}

/** The button that does to a job what can be done to it: one and the same all along, so that it keeps the focus. */
function button(after) {
  let [job, verb] = [null, null];
  const element = h('button', { type: 'button', onclick: () => change(job, verb, after) });
  const update = (now) => {
    job = now;
    verb = isOver(job) ? (job.kind === 'job' && job.status !== 'SUCCESS' ? 'Retry' : null) : 'Cancel';
    element.hidden = !verb;
    element.setAttribute('aria-label', `${verb} the job of ${job.plugin} …${job.id.slice(-6)}`);
    say(element, verb);
  };
  return { element, update };
}

function took(job) {
  if (!job.started_at || !job.finished_at) return '–';
  const whole = Date.parse(job.finished_at) - Date.parse(job.started_at);
  if (whole < 10) return whole < 1 ? '< 1 ms' : `${whole} ms`;
  return millis(whole);
}

const HEADS = ['Job', 'Plugin', 'Status', 'Created', 'Took', 'What came of it', 'Do'];

function outcome(job) {
  if (job.error) return h('span', {}, h('code', {}, job.error.details?.code), ` ${job.error.message}`);
  if (job.status === 'RUNNING') return h('progress', { value: job.progress, max: 1, 'aria-label': `Progress of the job of ${job.plugin}` });
  return job.waiting_for ? `waits for ${job.waiting_for.replace('_', ' ')}` : '–';
}

function jobRow(made, job, after) {
  const [status, time, what] = ['status', 'took', 'outcome'].map((name) => h('span', { class: name }));
  const doing = button(after);
  const line = row(made, h('a', { href: `#/jobs/${job.id}` }, `…${job.id.slice(-6)}`), h('a', { href: `#/plugins/${job.plugin}` }, job.plugin),
    status, moment(job.created_at), time, what, doing.element);
  line.update = (now) => {
    if (line.seen === (line.seen = JSON.stringify(now))) return;
    showState(status, now.status);
    say(time, took(now));
    set(what, outcome(now));
    doing.update(now);
  };
  return line;
}

/** A table of jobs that keeps itself up to date. */
export function list({ kind = 'job', status = '', plugin = '', limit = 50 } = {}) {
  const wanted = { kind, status, plugin };
  const made = table('Jobs, the latest first', HEADS, { class: 'cards jobs' });
  const note = h('p', { class: 'muted', role: 'status' });
  const more = h('button', { type: 'button', hidden: true, onclick: () => load(older.cursor) }, 'Older ones');
  const older = { items: [], cursor: null };
  let [stopped, edition] = [false, 0];
  const load = async (cursor) => {
    const mine = ++edition;
    const query = new URLSearchParams({ limit: String(limit) });
    for (const [name, value] of Object.entries({ ...wanted, cursor })) if (value) query.set(name, value);
    try {
      const page = await get(`v1/jobs?${query}`);
      if (mine !== edition || stopped) return;
      older.items = cursor ? [...older.items, ...page.items] : [...page.items, ...older.items.slice(limit).filter((it) => !page.items.some((other) => other.id === it.id))];
      if (cursor || older.items.length <= limit) older.cursor = page.next_cursor;
      keep(made.body, older.items, (it) => it.id, (it) => jobRow(made, it, () => load()), (line, it) => line.update(it));
      more.hidden = limit < 50 || !older.cursor;
      made.whole.hidden = older.items.length === 0;
      say(note, older.items.length ? '' : 'There are none.');
    } catch (problem) {
      say(note, `They cannot be listed: ${problem.message}`);
    }
  };
  const set_ = (changed) => {
    Object.assign(wanted, changed);
    older.items = [];
    load();
  };
  load();
  const timer = setInterval(() => { if (!document.hidden) load(); }, EVERY);
  let soon = null;
  const stopEvents = events.watch(() => { clearTimeout(soon); soon = setTimeout(load, 400); });
  const stop = () => { stopped = true; clearInterval(timer); clearTimeout(soon); stopEvents(); };
  return { element: h('div', {}, note, made.whole, more), set: set_, stop };
}

function choice(id, label, options, chosen, onchange) {
  const list = h('select', { id, onchange: () => onchange(list.value) }, options.map(([value, text]) => h('option', { value }, text)));
  list.value = chosen;
  return h('span', { class: 'choice' }, h('label', { for: id }, label), list);
}

/** The page of all jobs. */
export function show(root, _, query) {
  const asked = { kind: query.get('kind') ?? 'all', status: query.get('status') ?? '', plugin: query.get('plugin') ?? '' };
  const all = list(asked);
  const names = new Set([...state.plugins.map((it) => it.name), asked.plugin].filter(Boolean));
  root.append(h('h1', { tabindex: '-1' }, 'Jobs'), h('p', { class: 'bar' },
    choice('by-status', 'Status', [['', 'any'], ...STATUSES.map((it) => [it, it])], asked.status, (status) => all.set({ status })),
    choice('by-plugin', 'Plugin', [['', 'any'], ...[...names].map((it) => [it, it])], asked.plugin, (plugin) => all.set({ plugin })),
    choice('by-kind', 'Kind', [['all', 'jobs and calls'], ['job', 'jobs'], ['analysis', 'calls that were waited for']], asked.kind, (kind) => all.set({ kind }))),
    h('section', { 'aria-label': 'Jobs' }, all.element));
  return { stop: all.stop };
}

/** What operators are told of a job's error besides. */
export const internal = (job) => job._internal ?? job.error?._internal;

async function outputOf(job) {
  if (job.result_url) return (await ask('GET', job.result_url)).json();
  return job.result;
}

async function beside(job) {
  const all = (job.attachments ?? []).map(async (it) => attachment(it.name, await (await ask('GET', it.url)).blob()));
  return Promise.all(all);
}

const FIELDS = ['id', 'kind', 'plugin', 'generation', 'mime_type', 'image_sha256', 'attempt', 'max_attempts', 'priority'];

/** The page of one job, up to its end. */
export function showOne(root, [id]) {
  const heading = h('h1', { tabindex: '-1' }, `Job …${id.slice(-6)}`);
  const [status, what, body] = [h('span', { role: 'status' }), h('span'), h('div')];
  const doing = button(() => load());
  doing.element.hidden = true;
  root.append(heading, h('p', { class: 'bar' }, status, what, doing.element), body);
  let [timer, stopped, seen] = [null, false, ''];
  const load = async () => {
    clearTimeout(timer);
    try {
      const job = await get(`v1/jobs/${encodeURIComponent(id)}`);
      if (stopped) return;
      if (!isOver(job)) timer = setTimeout(load, 1000);
      if (seen === (seen = JSON.stringify(job))) return;
      showState(status, job.status);
      set(what, isOver(job) ? null : outcome(job));
      doing.update(job);
      const facts = FIELDS.filter((it) => job[it] !== null).map((name) => [h('dt', {}, name.replaceAll('_', ' ')), h('dd', {}, name === 'plugin' ? h('a', { href: `#/plugins/${job.plugin}` }, job.plugin) : String(job[name]))]);
      const times = ['created_at', 'started_at', 'finished_at'].map((name) => [h('dt', {}, name.replace('_at', '')), h('dd', {}, moment(job[name]))]);
      const [output, files] = job.status === 'SUCCESS' ? await Promise.all([outputOf(job), beside(job)]) : [null, []];
      set(body, job.error ? part('Error', failure(job.error, internal(job))) : null,
        output ? part('Result', tree(output)) : null, files.length ? part('Attachments', files) : null,
        part('Facts', h('dl', { class: 'facts' }, facts, h('dt', {}, 'picture'), h('dd', {}, bytes(job.image_bytes)), times, h('dt', {}, 'took'), h('dd', {}, took(job)))));
    } catch (problem) {
      if (problem.error) set(body, failure(problem.error, problem.internal));
      else timer = setTimeout(load, 2000);
    }
  };
  load();
  return { stop: () => { stopped = true; clearTimeout(timer); } };
}
