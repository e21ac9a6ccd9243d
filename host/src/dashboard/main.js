// Where the page begins: finds out who we are, then shows what the address says.

import { Away, token } from './api.js';
import * as access from './access.js';
import { h, say, set } from './dom.js';
import * as events from './events.js';
import * as front from './front.js';
import * as jobs from './jobs.js';
import * as plugin from './plugin.js';
import { refresh, state, watch } from './state.js';
import * as theme from './theme.js';
import * as tryIt from './try.js';
import { failure } from './words.js';

const ROUTES = [
  [/^$/, 'Host', front.show],
  [/^plugins\/([^/]+)$/, 'Plugin', plugin.show],
  [/^try(?:\/([^/]+))?$/, 'Try it', tryIt.show],
  [/^jobs$/, 'Jobs', jobs.show],
  [/^jobs\/([^/]+)$/, 'Job', jobs.showOne],
  [/^events$/, 'Events', events.show],
];

const main = document.getElementById('main');
let view = null;

/** What a part of an address says; itself, where somebody has typed half of it. */
function decoded(part) {
  try {
    return part && decodeURIComponent(part);
  } catch {
    return part;
  }
}

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  for (const [pattern, title, show] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return { title, show, parts: found.slice(1).map(decoded), query: new URLSearchParams(query) };
  }
  const show = (root) => root.append(h('h1', { tabindex: '-1' }, 'No such page'), h('p', {}, h('a', { href: '#/' }, 'To the host')));
  return { title: 'No such page', show, parts: [], query: new URLSearchParams() };
}

function open({ isFirst = false } = {}) {
  const { title, show, parts, query } = route();
  view?.stop?.();
  set(main);
  document.title = [...parts.filter(Boolean), title, 'Bulkhead'].join(' · ');
  view = show(main, parts, query) ?? null;
  view?.update?.(state);
  const here = `#/${location.hash.replace(/^#\/?/, '').split(/[/?]/)[0]}`;
  for (const link of document.querySelectorAll('#nav a')) {
    if (link.getAttribute('href') === here) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  // Whoever reads by ear is told of the new page; at the start the browser does that itself.
  if (!isFirst) main.querySelector('h1')?.focus();
}

function showAway({ away, problem }) {
  const banner = document.getElementById('away');
  const isRefused = problem && !(problem instanceof Away);
  banner.hidden = !away && !isRefused;
  say(banner, away ? 'The host does not answer. What is here is how it was; trying again …' : (isRefused ? problem.message : ''));
  document.body.classList.toggle('is-away', away);
}

function showWho() {
  const { role, token: name } = access.who();
  const out = token.get() ? h('button', { type: 'button', onclick: access.leave }, 'Forget the token') : null;
  set(document.getElementById('who'), role ? (name ? `${name} (${role}) ` : null) : h('button', { type: 'button', onclick: () => location.reload() }, 'Give a token'), out);
  for (const link of document.querySelectorAll('[data-role]')) link.hidden = !access.may(link.dataset.role);
}

/** Until the host answers: it may be just starting. */
async function begin() {
  for (;;) {
    try {
      return await access.learn();
    } catch {
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
    }
  }
}

theme.follow(document.getElementById('theme'));
document.getElementById('skip').addEventListener('click', (event) => { event.preventDefault(); main.focus(); });
watch(showAway);
await begin();
showWho();
if (access.may('analyze')) {
  await refresh();
  open({ isFirst: true });
  window.addEventListener('hashchange', () => open());
  document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
  events.follow();
} else {
  set(main, h('h1', {}, 'Host'), failure(access.who().problem.error));
}
document.documentElement.dataset.ready = 'yes';
