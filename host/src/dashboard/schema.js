// JSON Schemas, read: references followed, what is optional told from what may be null, limits in words.

import { fold, h, row, table } from './dom.js';

/** A schema without its reference, and whether null will do too. */
export function resolve(schema, root, depth = 0) {
  if (schema === true || schema === undefined || depth > 20) return { schema: {}, nullable: false };
  if (schema.$ref) {
    const path = schema.$ref.replace(/^#\/?/, '').split('/').filter(Boolean);
    const found = path.reduce((at, key) => at?.[key.replaceAll('~1', '/').replaceAll('~0', '~')], root);
    const { $ref: _, ...own } = schema;
    const target = resolve(found ?? {}, root, depth + 1);
    return { schema: { ...target.schema, ...own }, nullable: target.nullable };
  }
  const choices = schema.anyOf ?? schema.oneOf;
  const isNull = (it) => it?.type === 'null';
  if (choices?.some(isNull)) {
    const rest = choices.filter((it) => !isNull(it));
    const { anyOf: _, oneOf: __, ...own } = schema;
    const inner = rest.length === 1 ? resolve(rest[0], root, depth + 1).schema : { anyOf: rest };
    return { schema: { ...inner, ...own }, nullable: true };
  }
  if (Array.isArray(schema.type) && schema.type.includes('null')) {
    const types = schema.type.filter((it) => it !== 'null');
    return { schema: { ...schema, type: types.length === 1 ? types[0] : types }, nullable: true };
  }
  if (schema.allOf?.length === 1) {
    const { allOf, ...own } = schema;
    const inner = resolve(allOf[0], root, depth + 1);
    return { schema: { ...inner.schema, ...own }, nullable: inner.nullable };
  }
  return { schema, nullable: false };
}

/** The values that there are to choose from, each with what it means; null where it is not that. */
export function choices(schema) {
  if (schema.enum) return schema.enum.filter((it) => it !== null).map((value) => ({ value }));
  const all = schema.oneOf ?? schema.anyOf;
  const named = all?.flatMap((it) => (it.const !== undefined
    ? [{ value: it.const, description: it.description }]
    : (it.enum ?? [null]).map((value) => (value === null ? null : { value }))));
  return named?.length && named.every(Boolean) ? named : null;
}

/** What a value may be, in a few words. */
export function kind(given, root, depth = 0) {
  const { schema, nullable } = resolve(given, root);
  const or = nullable ? ' or null' : '';
  const named = choices(schema);
  if (named) {
    const more = named.length > 12 ? ` | and ${named.length - 12} more` : '';
    return `${named.slice(0, 12).map((it) => JSON.stringify(it.value)).join(' | ')}${more}${or}`;
  }
  if (schema.type === 'array') return `list of ${schema.items && depth < 3 ? kind(schema.items, root, depth + 1) : 'anything'}${or}`;
  return `${[schema.type ?? 'anything'].flat().join(' or ')}${or}`;
}

/** The limits of a value, in a few words. */
export function limits(schema) {
  if (choices(schema)) return '';
  const { minimum: least, maximum: most, exclusiveMinimum: above, exclusiveMaximum: below } = schema;
  const words = [];
  if (least !== undefined && most !== undefined) words.push(`${least} to ${most}`);
  else if (least !== undefined) words.push(`at least ${least}`);
  else if (most !== undefined) words.push(`at most ${most}`);
  if (above !== undefined) words.push(`more than ${above}`);
  if (below !== undefined) words.push(`less than ${below}`);
  if (schema.multipleOf) words.push(`in steps of ${schema.multipleOf}`);
  if (schema.minLength) words.push(`at least ${schema.minLength} characters`);
  if (schema.maxLength !== undefined) words.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern) words.push(`like ${schema.pattern}`);
  if (schema.minItems) words.push(`at least ${schema.minItems} of them`);
  if (schema.maxItems !== undefined) words.push(`at most ${schema.maxItems} of them`);
  if (schema.uniqueItems) words.push('each once');
  return words.join(', ');
}

/** The most fields that are listed: schemas can name themselves, many times over. */
const MOST = 500;

function fields(given, root, prefix, depth, room = { left: MOST }) {
  const { schema } = resolve(given, root);
  return Object.entries(schema.properties ?? {}).slice(0, room.left).flatMap(([name, property]) => {
    room.left -= 1;
    const path = `${prefix}${name}`;
    const found = resolve(property, root).schema;
    const inner = found.type === 'array' ? resolve(found.items, root).schema : found;
    const below = depth < 4 && room.left > 0 ? fields(inner, root, `${path}${inner === found ? '.' : '[].'}`, depth + 1, room) : [];
    return [{ path, property, found, isRequired: schema.required?.includes(name) }, ...below];
  });
}

/** A schema as a table of its fields, with the whole of it to unfold. */
export function describe(caption, schema) {
  const whole = fold('As JSON Schema', h('pre', { tabindex: '0' }, JSON.stringify(schema, null, 2)));
  const all = fields(schema, schema, '', 0);
  if (!all.length) return h('div', {}, h('p', { class: 'muted' }, `${caption}: no fields are named.`), whole);
  const fieldTable = table(caption, ['Field', 'Type', 'Default', 'Meaning'], { class: 'cards schema' });
  for (const { path, property, found, isRequired } of all) {
    const fallback = found.default === undefined ? (isRequired ? 'required' : '–') : h('code', {}, JSON.stringify(found.default));
    const meaning = [found.description ?? found.title ?? '', limits(found) ? h('span', { class: 'muted' }, ` (${limits(found)})`) : ''];
    fieldTable.body.append(row(fieldTable, h('code', {}, path), kind(property, schema), fallback, meaning));
  }
  return h('div', {}, fieldTable.whole, whole);
}
