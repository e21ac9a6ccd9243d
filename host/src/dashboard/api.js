// Speaks to the host: the one module that sends requests.

const KEY = 'bulkhead-token';

/** An answer that is an error, with its envelope. */
export class Refused extends Error {
  constructor(status, document, retryAfter) {
    const error = document?.error ?? { type: 'Error', message: `the host answered ${status}`, details: {} };
    super(error.message);
    Object.assign(this, { status, error, internal: document?._internal, retryAfter });
  }
}

/** Nobody answers. */
export class Away extends Error {}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

/** Whoever wants to know that the host has gone, has come back, or wants a token. */
export const listeners = { away: () => {}, back: () => {}, unauthorized: async () => false };

/** The address of a path, wherever the page lies. */
export const address = (path) => new URL(path.replace(/^\//, ''), new URL('.', document.baseURI)).href;

/** Sends a request; the answer is the response as it comes. */
export async function send(method, path, { body, headers, signal } = {}) {
  const held = token.get();
  const all = { ...headers, ...(held ? { Authorization: `Bearer ${held}` } : {}) };
  let answer;
  try {
    answer = await fetch(address(path), { method, body, headers: all, signal, cache: 'no-store' });
  } catch (problem) {
    if (signal?.aborted) throw problem;
    listeners.away();
    throw new Away('the host does not answer');
  }
  listeners.back();
  return answer;
}

async function refusal(answer) {
  const document = await answer.json().catch(() => null);
  return new Refused(answer.status, document, answer.headers.get('retry-after'));
}

/** Sends a request until the host knows who asks; the answer is one that is no error. */
export async function ask(method, path, options = {}) {
  const answer = await send(method, path, options);
  if (answer.ok) return answer;
  const refused = await refusal(answer);
  if (answer.status === 401 && await listeners.unauthorized(refused)) return ask(method, path, options);
  throw refused;
}

export const get = async (path, options) => (await ask('GET', path, options)).json();
export const act = async (method, path, options) => (await ask(method, path, options)).json();

/** A document that is told with any status. */
export async function look(path) {
  const answer = await send('GET', path);
  return answer.json();
}

/** Reads a stream of events: each as `{id, event, data}`. Ends when the stream does. */
export async function* stream(path, headers, signal) {
  const answer = await ask('GET', path, { headers, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split('\n\n');
    text = blocks.pop();
    for (const block of blocks) {
      const frame = {};
      for (const line of block.split('\n')) {
        const at = line.indexOf(':');
        if (at > 0) frame[line.slice(0, at)] = line.slice(at + 1).replace(/^ /, '');
      }
      yield frame;
    }
  }
}
