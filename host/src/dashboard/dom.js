// Makes and changes elements. What is put into them is text, whoever wrote it: nothing here reads markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'disabled') element[name] = value;
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  put(element, children);
  return element;
}

function put(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** An element with these attributes, listeners (`onclick`) and children. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** The same, of a drawing. */
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** Puts these children in place of all that an element has. */
export function set(element, ...children) {
  element.replaceChildren();
  put(element, children);
  return element;
}

/** Sets an element's text, if it is another: whoever has marked some of it keeps the mark. */
export function say(element, text) {
  const wanted = text === null || text === undefined ? '–' : String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Brings a list of elements up to date and leaves those that stay where they are, so that none loses the focus. */
export function keep(parent, items, keyOf, make, update) {
  const kept = parent.kept ?? (parent.kept = new Map());
  const keys = new Set(items.map(keyOf));
  for (const [key, element] of kept) {
    if (!keys.has(key)) {
      element.remove();
      kept.delete(key);
    }
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const element = kept.get(key) ?? make(item);
    kept.set(key, element);
    update?.(element, item);
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
  }
}

/** A table with a caption. Its roles are said aloud: on a narrow screen its rows are laid out as cards. */
export function table(caption, heads, props) {
  const body = h('tbody', { role: 'rowgroup' });
  const head = heads.map((text) => h('th', { scope: 'col', role: 'columnheader' }, text));
  const whole = h('table', { role: 'table', ...props }, h('caption', {}, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, head)), body);
  return { whole, body, heads };
}

/** A row of such a table; its first cell is its head. */
export function row({ heads }, ...cells) {
  const made = cells.map((cell, index) => index === 0
    ? h('th', { scope: 'row', role: 'rowheader' }, cell)
    : h('td', { role: 'cell', 'data-label': heads[index] }, cell));
  return h('tr', { role: 'row' }, made);
}

let number = 0;

/** An id that nothing else on the page has. */
export const fresh = (word) => `${word}-${++number}`;

/** Tells an outcome, to eyes and to ears. */
export function announce(text, isBad = false) {
  const said = document.getElementById('said');
  said.classList.toggle('bad', isBad);
  say(said, text);
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => set(said), 6000);
}

/** A part of a page under a heading. */
export function part(title, ...children) {
  const id = fresh('part');
  return h('section', { 'aria-labelledby': id }, h('h2', { id }, title), children);
}

/** What can be unfolded. */
export const fold = (title, ...children) => h('details', {}, h('summary', {}, title), children);
