// A form made from a schema. What differs from its default is sent, all else is left to the plugin.

import { fresh, h, say, set } from './dom.js';
import { choices, kind, limits, resolve } from './schema.js';

const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** The most fields of a form: schemas can name themselves, many times over. What is beyond is JSON as text. */
const MOST = 200;

/** A field: `element`, `read()` for its value (undefined: left out) or an error that is thrown, `path` for violations. */
export function field(given, root, name, { isRequired = false, path = '', depth = 0, room = { left: MOST } } = {}) {
  const { schema, nullable } = resolve(given, root);
  const shape = { schema, nullable, root, name, isRequired, path, depth, room };
  room.left -= 1;
  if (depth < 5 && room.left > 0 && schema.type === 'object' && schema.properties) return group(shape);
  const named = choices(schema);
  if (named) return select(shape, named);
  if (schema.type === 'boolean') return tick(shape);
  if (schema.type === 'integer' || schema.type === 'number') return numeric(shape);
  if (schema.type === 'string') return text(shape);
  if (depth < 5 && schema.type === 'array' && schema.items) {
    const inner = choices(resolve(schema.items, root).schema);
    return inner && schema.uniqueItems ? ticks(shape, inner) : list(shape);
  }
  return json(shape);
}

class Wrong extends Error {
  constructor(shape, message, input) {
    super(message);
    Object.assign(this, { path: shape.path, input });
  }
}

/** A label, an input, what it means, and what is wrong with it. */
function labelled(shape, input, check) {
  const { schema, name } = shape;
  const [id, hint, wrong] = [fresh('field'), fresh('hint'), fresh('wrong')];
  input.id = id;
  input.setAttribute('aria-describedby', `${hint} ${wrong}`);
  if (shape.isRequired) input.setAttribute('aria-required', 'true');
  const problem = h('p', { class: 'wrong', id: wrong, hidden: true });
  const complain = (message) => {
    problem.hidden = !message;
    input.setAttribute('aria-invalid', String(Boolean(message)));
    say(problem, message ?? '');
  };
  const read = () => {
    try {
      const value = check();
      complain(null);
      return value !== undefined && isSame(value, schema.default) ? undefined : value;
    } catch (error) {
      complain(error.message);
      throw new Wrong(shape, error.message, input);
    }
  };
  // Only once something is wrong: a complaint that appears on the way to a button would move it from under the pointer.
  input.addEventListener('input', () => {
    if (!problem.hidden) try { read(); } catch { /* It is told at the field. */ }
  });
  const words = [schema.description, limits(schema), (schema.default ?? null) === null ? '' : `default ${JSON.stringify(schema.default)}`].filter(Boolean);
  const label = h('label', { for: id }, name, shape.isRequired ? ' (required)' : '');
  const isTick = input.type === 'checkbox';
  const element = h('div', { class: `field${isTick ? ' tick' : ''}` }, isTick ? [input, label] : [label, input],
    h('p', { class: 'muted', id: hint }, words.join(' · ')), problem);
  return { element, read, complain, input, fields: [], path: shape.path };
}

function missing({ isRequired, name }) {
  if (isRequired) throw new Error(`${name} is required`);
  return undefined;
}

function numeric(shape) {
  const { schema, name } = shape;
  const step = schema.multipleOf ?? (schema.type === 'integer' ? 1 : 'any');
  const input = h('input', { type: 'number', inputmode: 'decimal', step, min: schema.minimum, max: schema.maximum, value: schema.default ?? '' });
  return labelled(shape, input, () => {
    if (input.validity.badInput) throw new Error(`${name} is a number`);
    if (input.value.trim() === '') return missing(shape);
    const value = Number(input.value);
    if (schema.type === 'integer' && !Number.isInteger(value)) throw new Error(`${name} is a whole number`);
    const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
    if (value < minimum || value > maximum || value <= exclusiveMinimum || value >= exclusiveMaximum) throw new Error(`${name} is ${limits(schema)}`);
    return value;
  });
}

function text(shape) {
  const { schema, name } = shape;
  const input = h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', value: schema.default ?? '' });
  return labelled(shape, input, () => {
    const { value } = input;
    if (value === '' && schema.default !== '') return missing(shape);
    const length = [...value].length;
    if (length < schema.minLength || length > schema.maxLength) throw new Error(`${name} has ${limits(schema)}`);
    if (schema.pattern && !new RegExp(schema.pattern, 'u').test(value)) throw new Error(`${name} is ${limits(schema)}`);
    return value;
  });
}

function tick(shape) {
  const input = h('input', { type: 'checkbox', checked: shape.schema.default === true });
  // One that nobody has touched says nothing.
  return labelled(shape, input, () => (input.checked || shape.schema.default !== undefined || shape.isRequired ? input.checked : undefined));
}

function select(shape, named) {
  const { schema } = shape;
  const has = schema.default !== undefined && schema.default !== null;
  const options = named.map(({ value, description }, index) =>
    h('option', { value: String(index), title: description }, String(value), description && description.length < 30 ? ` – ${description}` : ''));
  const input = h('select', {}, has ? null : h('option', { value: '' }, shape.nullable ? 'none' : 'not set'), options);
  if (has) input.value = String(named.findIndex((it) => isSame(it.value, schema.default)));
  return labelled(shape, input, () => (input.value === '' ? missing(shape) : named[Number(input.value)].value));
}

function json(shape) {
  const { schema } = shape;
  const given = schema.default === undefined ? '' : JSON.stringify(schema.default, null, 1);
  const input = h('textarea', { rows: 3, spellcheck: 'false', value: given });
  const made = labelled(shape, input, () => {
    if (input.value.trim() === '') return missing(shape);
    try {
      return JSON.parse(input.value);
    } catch (error) {
      throw new Error(`${shape.name} is no JSON: ${error.message}`);
    }
  });
  made.element.querySelector('label').append(` (JSON: ${kind(schema, shape.root)})`);
  return made;
}

/** A frame round fields. */
function frame(shape, ...children) {
  const { schema, name } = shape;
  const [hint, wrong] = [fresh('hint'), fresh('wrong')];
  const problem = h('p', { class: 'wrong', id: wrong, hidden: true });
  const complain = (message) => { problem.hidden = !message; say(problem, message ?? ''); };
  const element = h('fieldset', { 'aria-describedby': `${hint} ${wrong}` }, h('legend', {}, name),
    h('p', { class: 'muted', id: hint }, [schema.description, limits(schema)].filter(Boolean).join(' · ')), children, problem);
  return { element, complain, path: shape.path };
}

function ticks(shape, named) {
  const { schema } = shape;
  const isOn = (value) => (schema.default ?? []).some((it) => isSame(it, value));
  const boxes = named.map(({ value, description }) => {
    const id = fresh('tick');
    const box = h('input', { type: 'checkbox', id, checked: isOn(value) });
    return { value, box, element: h('span', { class: 'choice' }, box, h('label', { for: id, title: description }, String(value))) };
  });
  const made = frame(shape, h('div', { class: 'choices' }, boxes.map((it) => it.element)));
  const read = () => {
    const value = boxes.filter((it) => it.box.checked).map((it) => it.value);
    const isFine = value.length >= (schema.minItems ?? 0) && value.length <= (schema.maxItems ?? Infinity);
    made.complain(isFine ? null : `choose ${limits(schema)}`);
    if (!isFine) throw new Wrong(shape, `${shape.name}: choose ${limits(schema)}`, boxes[0].box);
    const isDefault = isSame([...value].sort(), [...(schema.default ?? [])].sort());
    return isDefault && !shape.isRequired ? undefined : value;
  };
  return { ...made, read, input: boxes[0].box, fields: [] };
}

function list(shape) {
  const { schema, root, name, path, depth } = shape;
  let items = [];
  const place = h('div');
  const add = (value) => {
    const number = items.length;
    const { schema: inner } = resolve(schema.items, root);
    const preset = value === undefined ? inner : { ...inner, default: value };
    const item = field(preset, root, `${name} ${number + 1}`, { isRequired: true, path: `${path}/${number}`, depth: depth + 1 });
    item.preset = value ?? inner.default;
    items.push(item);
    place.append(item.element);
    return item;
  };
  const drop = () => items.pop()?.element.remove();
  const buttons = h('p', { class: 'buttons' },
    h('button', { type: 'button', onclick: () => (add().input ?? place.lastElementChild.querySelector('input,select,textarea'))?.focus() }, `Add to ${name}`),
    h('button', { type: 'button', onclick: drop }, 'Remove the last'));
  const made = frame(shape, place, buttons);
  (schema.default ?? []).forEach((value) => add(value));
  const read = () => {
    const value = items.map((item) => item.read() ?? item.preset ?? {});
    const isFine = value.length >= (shape.isRequired || value.length ? schema.minItems ?? 0 : 0) && value.length <= (schema.maxItems ?? Infinity);
    made.complain(isFine ? null : `it takes ${limits(schema)}`);
    if (!isFine) throw new Wrong(shape, `${name} takes ${limits(schema)}`, buttons.firstChild);
    return isSame(value, schema.default ?? []) && !shape.isRequired ? undefined : value;
  };
  return { ...made, read, get fields() { return items; } };
}

function group(shape) {
  const { schema, root, path, depth, room } = shape;
  const all = Object.entries(schema.properties).map(([name, property]) => ({
    name,
    made: field(property, root, name, { isRequired: schema.required?.includes(name), path: `${path}/${name}`, depth: depth + 1, room }),
  }));
  const children = all.map((it) => it.made.element);
  const made = depth ? frame(shape, children) : { element: h('div', { class: 'fields' }, children), complain: () => {}, path };
  const read = () => {
    // A field can be called as something that all objects have.
    const value = Object.create(null);
    const wrong = [];
    for (const { name, made: inner } of all) {
      try {
        const found = inner.read();
        if (found !== undefined) value[name] = found;
      } catch (error) {
        wrong.push(error);
      }
    }
    if (wrong.length) throw wrong[0];
    return Object.keys(value).length || shape.isRequired ? value : undefined;
  };
  return { ...made, read, fields: all.map((it) => it.made) };
}

/** Says at its field what the host finds wrong; false where the form has no such field. */
export function complain(form, { path, reason }) {
  const found = form.fields.find((it) => it.path === path || path.startsWith(`${it.path}/`));
  if (!found) return false;
  if (found.path === path || !complain(found, { path, reason })) found.complain(reason);
  return true;
}

/** A form for options: its fields, or JSON as text for those who would rather, or where the schema has no fields. */
export function options(schema) {
  const fields = schema?.properties && Object.keys(schema.properties).length ? field({ ...schema, type: 'object' }, schema, 'options') : null;
  const id = fresh('json');
  const area = h('textarea', { id, rows: 5, spellcheck: 'false', value: '{}' });
  const wrong = h('p', { class: 'wrong', id: `${id}-wrong` });
  area.setAttribute('aria-describedby', wrong.id);
  const byHand = h('div', { class: 'field', hidden: Boolean(fields) }, h('label', { for: id }, 'Options as JSON'), area, wrong);
  const box = h('input', { type: 'checkbox', id: `${id}-box`, onchange: () => {
    if (box.checked) try { area.value = JSON.stringify(fields.read() ?? {}, null, 2); } catch { /* What is there stays. */ }
    byHand.hidden = !box.checked;
    fields.element.hidden = box.checked;
  } });
  const choice = fields ? h('p', { class: 'choice' }, box, h('label', { for: box.id }, 'Write them as JSON')) : null;
  const read = () => {
    if (fields && !box.checked) return fields.read() ?? {};
    set(wrong);
    try {
      return JSON.parse(area.value.trim() || '{}');
    } catch (error) {
      say(wrong, `this is no JSON: ${error.message}`);
      throw new Wrong({ path: '' }, wrong.textContent, area);
    }
  };
  const told = (violation) => Boolean(fields) && !box.checked && complain(fields, violation);
  return { element: h('div', {}, fields?.element, byHand, choice), read, complain: told };
}
