/**
 * Readers and writers of objects with named fields, generated for each list of fields: code that knows its fields is
 * several times faster than code that is told their names.
 *
 * R1 What is generated is a function of the lists of names alone.
 */
import { Kind } from './cell.ts'
import type { KindParts } from './cell.ts'
import type { Shape } from './shapes.ts'

type Parts = KindParts<object, unknown>

/** A process compiles each once. */
const compiled = new Map<string, Parts>()

/** The kind of a shape with named fields. */
export function fieldKind(shape: Shape): Kind {
  const { name, fields, written, aside } = shape
  const key = [name, fields, written, aside].join(' ; ')
  let parts = compiled.get(key)
  if (parts === undefined) {
    // oxlint-disable-next-line no-new-func, typescript/no-implied-eval -- names of fields, quoted, and nothing else
    parts = new Function(textOf(shape))() as Parts
    compiled.set(key, parts)
  }
  return new Kind(shape, parts)
}

const at = (whose: string, field: string): string => `${whose}[${JSON.stringify(field)}]`
const each = (names: readonly string[], text: (field: string) => string): string => names.map(text).join(' ')

function textOf({ name, fields, written, aside }: Shape): string {
  const same = written.map((field) => `${at('o', field)} === ${at('v', field)}`).join(' && ')
  const isFixed = (field: string): boolean => !written.includes(field)
  const type = JSON.stringify(`${name} ${fields.join(' ')}`)
  const asideText = `{
    copy: (o) => [${aside.map((field) => at('o', field)).join(', ')}],
    putBack: (o, v) => { ${aside.map((field, i) => `${at('o', field)} = v[${i}];`).join(' ')} },
  }`
  return `'use strict';
class Values { constructor(o) { ${each(written, (field) => `${at('this', field)} = ${at('o', field)};`)} } }
return {
  isSame: (o, v) => ${same === '' ? 'true' : same},
  copy: (o) => new Values(o),
  read: (v, r) => { ${each(written, (field) => `r.value(${at('v', field)});`)} },
  readFixed: (o, r) => { r.name(${type}); ${each(fields.filter(isFixed), (field) => `r.value(${at('o', field)});`)} },
  putBack: (o, v) => { ${each(written, (field) => `if (${at('o', field)} !== ${at('v', field)}) ${at('o', field)} = ${at('v', field)};`)} },
  changes: ${written.length > 0},
  aside: ${aside.length === 0 ? 'undefined' : asideText},
}`
}
