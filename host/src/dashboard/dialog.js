// Questions that must be answered before anything else: with the browser's own dialog, which keeps the focus inside and
// gives it back.

import { fresh, h } from './dom.js';

function open(title, children, verb, isWish) {
  const id = fresh('dialog');
  const dialog = h('dialog', { 'aria-labelledby': id });
  const form = h('form', { method: 'dialog' }, h('h2', { id }, title), children, h('div', { class: 'buttons' },
    h('button', { type: 'button', 'data-no': '' }, 'Not now'), h('button', { type: 'submit', class: 'primary', autofocus: isWish }, verb)));
  dialog.append(form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    const settle = (answer) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      settle(true);
    });
    dialog.addEventListener('cancel', () => settle(false));
    form.querySelector('[data-no]').addEventListener('click', () => settle(false));
    dialog.showModal();
  });
}

/** Whether somebody wants it, told what comes of it. */
export function confirm(title, consequence, verb) {
  return open(title, h('p', {}, consequence), verb, true);
}

/** A secret, or null where none is given. */
export async function secret(title, explanation) {
  const id = fresh('secret');
  const input = h('input', { id, type: 'password', autocomplete: 'current-password', required: true, autofocus: true });
  const given = await open(title, [h('p', {}, explanation), h('div', { class: 'field' }, h('label', { for: id }, 'Token'), input)], 'Use it', false);
  return given ? input.value.trim() : null;
}
