// Who we are to the host, and what we may do there.

import { Refused, get, listeners, token } from './api.js';
import { secret } from './dialog.js';

const ORDER = ['analyze', 'operate', 'admin'];
let access = { role: null, token: null };
let asking = null;
let isDeclined = false;

/** Whether our role may do what this one may. */
export const may = (role) => ORDER.indexOf(access.role) >= ORDER.indexOf(role);

export const who = () => access;

async function askForToken(refused) {
  const why = token.get() ? `The token was refused: ${refused.error.message}.` : 'This host answers only to tokens.';
  const given = await secret('A token, please', `${why} It is kept for this tab, until it is closed.`);
  isDeclined = !given;
  // What no header can carry is wrong like any other: the host is to say so.
  token.set(given?.replace(/[^!-~]/g, '?'));
  // Another token may do more, or less: the page begins anew.
  if (given && access.role) location.reload();
  return Boolean(given);
}

listeners.unauthorized = async (refused) => {
  if (isDeclined) return false;
  asking ??= askForToken(refused).finally(() => { asking = null; });
  return asking;
};

/** Asks the host who we are. One that knows no tokens lets everybody do everything. */
export async function learn() {
  try {
    access = await get('v1/access');
  } catch (problem) {
    if (!(problem instanceof Refused)) throw problem;
    access = { role: problem.status === 404 ? 'admin' : null, token: null, problem };
  }
  return access;
}

/** Forgets the token. */
export function leave() {
  token.set(null);
  location.reload();
}
