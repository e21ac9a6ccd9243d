// The host as it stands: asked for every few seconds while somebody looks, and at once when something happens. Keeps the
// rates of plugins, which begin with what the host has of them.

import { Away, get, listeners, look } from './api.js';

const EVERY = 5000;
const AWAY_EVERY = 1000;
const KEPT = 120;
/** Rates are told over the last minute. */
const RECENT = 12;

export const state = { host: null, ready: null, plugins: [], refused: [], away: false };

const watchers = new Set();
const lines = new Map();
let timer = null;
let running = null;

/** Calls `watcher` with every change, until the function that it gives is called. */
export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

const tell = () => watchers.forEach((watcher) => watcher(state));

function later(delay) {
  clearTimeout(timer);
  timer = setTimeout(() => { if (document.hidden) later(delay); else refresh(); }, delay);
}

/** Asks the host now. */
export function refresh() {
  running ??= ask().finally(() => {
    running = null;
    later(state.away ? AWAY_EVERY : EVERY);
  });
  return running;
}

/** Soon, however many want it. */
export const refreshSoon = () => later(250);

async function ask() {
  try {
    const [ready, host, list] = await Promise.all([look('readyz'), get('v1/host').catch(nothing), get('v1/plugins')]);
    const began = (it) => it?.started_at;
    if (began(state.host) !== began(host)) lines.clear();
    state.plugins = list.items.filter((it) => it.lifecycle !== 'REJECTED' || it.generation);
    state.refused = list.items.filter((it) => it.lifecycle === 'REJECTED' && !it.generation);
    Object.assign(state, { ready, host, problem: null });
    addPoints();
  } catch (problem) {
    state.problem = problem;
  }
  tell();
}

function nothing(problem) {
  if (problem instanceof Away) throw problem;
  return null;
}

listeners.away = () => {
  if (state.away) return;
  state.away = true;
  tell();
  later(AWAY_EVERY);
};

listeners.back = () => {
  if (!state.away) return;
  state.away = false;
  tell();
  refreshSoon();
};

function addPoints() {
  const now = Date.now();
  for (const plugin of state.plugins) {
    const [calls, errors] = [plugin.success_count + plugin.error_count, plugin.error_count];
    const line = lines.get(plugin.name);
    if (!line) {
      lines.set(plugin.name, { points: [], calls, errors, at: now });
    } else if (now - line.at >= EVERY - 500) {
      const passed = (now - line.at) / 1000;
      const ended = Math.max(0, calls - line.calls);
      const latency = ended ? plugin.latency_ms : null;
      line.points.push({ s: passed, calls: ended, errors: Math.max(0, errors - line.errors), p50: latency?.p50 ?? null, p99: latency?.p99 ?? null });
      line.points = line.points.slice(-KEPT);
      Object.assign(line, { calls, errors, at: now });
    }
  }
}

let seeding = Promise.resolve();

/** What the host has kept of a plugin's rates from before we looked: one question at a time. */
function seed(name, line) {
  line.seeded = true;
  seeding = seeding.then(async () => {
    const { interval_s: s, points } = await get(`v1/plugins/${name}/history`);
    const before = points.map((it) => ({ s, calls: it.calls, errors: it.errors, p50: it.p50_ms, p99: it.p99_ms }));
    line.points = [...before, ...line.points].slice(-KEPT);
    tell();
  }).catch(() => { line.seeded = false; });
}

/** A plugin's points, the newest last. */
export function points(name) {
  const line = lines.get(name);
  if (!line) return [];
  if (!line.seeded) seed(name, line);
  return line.points;
}

const sum = (all, field) => all.reduce((total, it) => total + it[field], 0);

/** Calls a second and the share of errors over the last minute; null where nothing is known. */
export function recent(all) {
  const last = all.slice(-RECENT);
  const [seconds, calls] = [sum(last, 's'), sum(last, 'calls')];
  return { rate: seconds ? calls / seconds : null, errors: calls ? sum(last, 'errors') / calls : null, calls };
}
