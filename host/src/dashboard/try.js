// Try it: a picture, a plugin, its options; then what came back, drawn on the picture, and the same as a line for a shell.

import { Refused, address, ask, get, token } from './api.js';
import { announce, fold, h, say, set } from './dom.js';
import { figure } from './draw.js';
import { options } from './form.js';
import { attachments, tree } from './result.js';
import { refreshSoon, state } from './state.js';
import { bytes, failure, millis } from './words.js';

let picture = null;

const TYPES = { tif: 'image/tiff', tiff: 'image/tiff', ppm: 'image/x-portable-pixmap', pnm: 'image/x-portable-anymap', avif: 'image/avif', heic: 'image/heic' };

/** A picture as it is sent and shown; its size is that of how it is to be looked at. */
async function read(file) {
  const name = file.name || 'picture';
  const type = file.type || TYPES[name.split('.').pop().toLowerCase()] || 'application/octet-stream';
  const url = URL.createObjectURL(file);
  const image = new Image();
  image.src = url;
  const isShown = await image.decode().then(() => true, () => false);
  return { file, name, type, url, isShown, width: image.naturalWidth, height: image.naturalHeight };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function path(plugin, chosen) {
  const query = new URLSearchParams({ plugin });
  if (Object.keys(chosen).length) query.set('options', JSON.stringify(chosen));
  return `v1/analyze?${query}`;
}

function curl(plugin, chosen) {
  const secret = token.get() ? " -H \"Authorization: Bearer $TOKEN\"" : '';
  return `curl --data-binary ${quoted(`@${picture.name}`)} -H ${quoted(`Content-Type: ${picture.type}`)}${secret} ${quoted(address(path(plugin, chosen)))}`;
}

function intake(onpicture) {
  const input = h('input', { type: 'file', id: 'picture', accept: 'image/*,.tif,.tiff,.ppm,.pnm', onchange: () => take(input.files[0]) });
  const told = h('p', { role: 'status', class: 'muted' });
  const preview = h('div', { class: 'preview' });
  const area = h('div', { class: 'drop' }, h('label', { for: 'picture' }, 'Picture'), input, h('p', { class: 'muted' }, 'Choose one, drop it on this page, or paste it.'), preview, told);
  const tell = () => {
    if (!picture) return;
    // The field says so too, whichever way the picture came.
    const chosen = new DataTransfer();
    chosen.items.add(picture.file);
    input.files = chosen.files;
    say(told, `${picture.name}, ${picture.type}, ${bytes(picture.file.size)}`);
    set(preview, picture.isShown ? h('img', { src: picture.url, alt: '' }) : null);
  };
  const take = async (file) => {
    if (!file) return;
    picture = await read(file);
    tell();
    onpicture();
  };
  // Anywhere on the page: beside the area the browser would leave for the picture.
  const drag = (event) => { event.preventDefault(); area.classList.toggle('over', event.type === 'dragover'); };
  const listening = {
    dragover: drag,
    dragleave: drag,
    drop: (event) => { drag(event); take(event.dataTransfer.files[0]); },
    paste: (event) => take(event.clipboardData.files[0]),
  };
  for (const [name, listener] of Object.entries(listening)) document.addEventListener(name, listener);
  tell();
  const stop = () => { for (const [name, listener] of Object.entries(listening)) document.removeEventListener(name, listener); };
  return { area, input, stop };
}

function shown(answer, took, line) {
  return [h('p', { class: 'muted' }, `${answer.plugin} answered in ${millis(took)}.`),
    picture ? figure(picture, answer.result) : null,
    h('h3', {}, 'Output'), tree(answer.result, 'Output'),
    answer.attachments?.length ? [h('h3', {}, 'Attachments'), attachments(answer.attachments)] : null,
    fold('As JSON', h('pre', { tabindex: '0' }, JSON.stringify(answer.result, null, 2))), line];
}

/** Shows the page; what it gives ends it. */
export function show(root, [wanted]) {
  const list = h('select', { id: 'plugin', onchange: () => choose(list.value) });
  const about = h('p', { class: 'muted' });
  const optionsPlace = h('div');
  const outcome = h('section', { class: 'result-of-try', 'aria-label': 'Result', tabindex: '-1' }, h('p', { class: 'muted' }, 'What comes back is shown here.'));
  const button = h('button', { type: 'submit', class: 'primary' }, 'Send');
  const taken = intake(() => { if (!button.disabled) announce(`${picture.name} is ready to be sent.`); });
  let [form, aborting] = [options(null), null];

  async function choose(name) {
    list.value = name;
    set(optionsPlace);
    say(about, '');
    try {
      const plugin = await get(`v1/plugins/${name}`);
      if (list.value !== name) return;
      const [types, most] = [plugin.accepts, 4];
      const rest = types.length > most ? ` and ${types.length - most} more` : '';
      set(about, plugin.description, h('br'), `Accepts ${types.slice(0, most).join(', ')}${rest}.`);
      form = options(plugin.options_schema);
      set(optionsPlace, form.element);
    } catch (problem) {
      if (problem.error) set(optionsPlace, failure(problem.error));
    }
  }

  function command(chosen) {
    const text = curl(list.value, chosen);
    const copy = h('button', { type: 'button', onclick: async () => { await navigator.clipboard.writeText(text); announce('Copied.'); } }, 'Copy');
    return h('div', {}, h('h3', {}, 'The same in a shell'), h('pre', { tabindex: '0', class: 'curl' }, text), navigator.clipboard ? copy : null);
  }

  async function run(chosen) {
    aborting = new AbortController();
    const began = performance.now();
    const request = { body: picture.file, headers: { 'Content-Type': picture.type }, signal: aborting.signal };
    const answer = await (await ask('POST', path(list.value, chosen), request)).json();
    set(outcome, h('h2', {}, 'Result'), shown(answer, performance.now() - began, command(chosen)));
    announce(`${answer.plugin} has answered.`);
  }

  function refused(problem, chosen) {
    if (problem.name === 'AbortError') return;
    const error = problem instanceof Refused ? problem.error : { type: 'Away', message: problem.message, details: {} };
    (error.details?.violations ?? []).forEach((it) => form.complain(it));
    set(outcome, h('h2', {}, 'Error'), failure(error, problem.internal), command(chosen));
    announce(`${list.value} has not answered: ${error.message}`, true);
  }

  async function submit(event) {
    event.preventDefault();
    if (!picture) {
      announce('Choose a picture first.', true);
      taken.input.focus();
      return;
    }
    let chosen;
    try {
      chosen = form.read();
    } catch (wrong) {
      announce(wrong.message, true);
      wrong.input?.focus();
      return;
    }
    button.disabled = true;
    set(outcome, h('p', {}, 'Waiting for the answer …'));
    await run(chosen).catch((problem) => refused(problem, chosen));
    button.disabled = false;
    // A button that was disabled has lost the focus; on a narrow screen the answer is out of sight.
    outcome.focus();
    refreshSoon();
  }

  const names = state.plugins.map((it) => it.name);
  list.append(...names.map((name) => h('option', { value: name }, name)));
  root.append(h('h1', { tabindex: '-1' }, 'Try it'), h('div', { class: 'try' },
    h('form', { onsubmit: submit, novalidate: true }, taken.area, h('div', { class: 'field' }, h('label', { for: 'plugin' }, 'Plugin'), list, about), optionsPlace, button), outcome));
  const first = names.includes(wanted) ? wanted : names[0];
  if (first) choose(first);
  return { stop: () => { aborting?.abort(); taken.stop(); } };
}
