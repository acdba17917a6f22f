/** What functions and classes hold can be read and written back, whatever the form they are written in. */
import test from 'ava'
import { tagOf } from '../../../src/check/frames/closures.ts'
import { writtenFields } from '../../../src/check/frames/modules.ts'
import { lower } from '../../../src/check/lower/lower.ts'

const runtime = new URL('../../../src/check/frames/runtime.js', import.meta.url).href

interface Made {
  readonly closure: object
  /** Reads what the closure holds by calling it. */
  readonly read: () => unknown
}

async function made(body: string): Promise<Made> {
  const code = `export function make() {\nlet held = 1; const fixed = { a: 2 };\n${body}\n}`
  const lowered = lower(code, 'closure.js', runtime).code
  const module = (await import(`data:text/javascript,${encodeURIComponent(lowered)}`)) as { make: () => Made }
  return module.make()
}

const forms: Readonly<Record<string, string>> = {
  'an arrow': 'const f = () => [held++, fixed]; return { closure: f, read: f }',
  'a function expression': 'const f = function () { return [held++, fixed] }; return { closure: f, read: f }',
  'a method of a literal': 'const o = { m() { return [held++, fixed] } }; return { closure: o.m, read: o.m }',
  'a method with a computed name':
    'const o = { [Symbol.iterator]() { return [held++, fixed] } }; return { closure: o[Symbol.iterator], read: o[Symbol.iterator] }',
  'a method with a quoted name':
    "const o = { 'a-b'() { return [held++, fixed] } }; return { closure: o['a-b'], read: o['a-b'] }",
  'an accessor of a literal':
    "const o = { get g() { return [held++, fixed] } }; return { closure: Object.getOwnPropertyDescriptor(o, 'g').get, read: () => o.g }",
  'a function declaration': 'return { closure: f, read: f }; function f() { return [held++, fixed] }',
  'a function declaration in a block': '{ function f() { return [held++, fixed] } return { closure: f, read: f } }',
  'a class declaration': 'class C { m() { return [held++, fixed] } } return { closure: C, read: () => new C().m() }',
  'a class expression': 'const C = class { m = () => [held++, fixed] }; return { closure: C, read: () => new C().m() }',
}

for (const [name, body] of Object.entries(forms)) {
  test(`${name} is tagged with what it holds, and takes it back`, async (t) => {
    const { closure, read } = await made(body)
    const tag = tagOf(closure)!
    t.deepEqual(tag.module.closures[tag.number]!.captured, ['held', 'fixed'])
    const [before, object] = tag.captured!()
    t.deepEqual([before, object], [1, { a: 2 }])
    t.deepEqual(read(), [1, { a: 2 }])
    t.is(tag.captured!()[0], 2)
    tag.restore!([7, object])
    t.deepEqual(read(), [7, { a: 2 }])
  })
}

test('functions and classes that a lowered async function declares are tagged', async (t) => {
  const code = `export async function make(y) {
    let n = await y
    function f() { return n++ }
    class C { m() { return n } }
    await y
    return { f, C }
  }`
  const lowered = lower(code, 'async.js', runtime).code
  const module = (await import(`data:text/javascript,${encodeURIComponent(lowered)}`)) as {
    make: (y: number) => PromiseLike<{ readonly f: () => number; readonly C: object }>
  }
  const { f, C } = await module.make(4)
  t.is(f(), 4)
  t.deepEqual(tagOf(f)!.captured!(), [5])
  t.deepEqual(tagOf(C)!.captured!(), [5])
  tagOf(f)!.restore!([9])
  t.deepEqual(tagOf(C)!.captured!(), [9])
})

test('an arrow holds this and arguments of the function around', (t) => {
  const { closures } = lower('export function f() { return () => [this, arguments] }', 'x.js', runtime)
  t.deepEqual(closures[0]!.captured, [])
  t.deepEqual(closures[1]!.captured, ['this', 'arguments'])
})

test('a function of module level is tagged and holds nothing', async (t) => {
  const lowered = lower('const state = 1; export function f() { return state }', 'x.js', runtime).code
  const { f } = (await import(`data:text/javascript,${encodeURIComponent(lowered)}`)) as { f: () => number }
  t.is(tagOf(f)!.captured, null)
})

test('a field is constant unless something other than a constructor or an initialiser writes it', (t) => {
  const code = `export class A {
    initialised = 1
    made; counted; removed; swapped; listed; looped; quoted; grown; foreign; late
    constructor(other) { this.made = 1; other.foreign = 2; this.grown += 1; const f = () => { this.late = 3 }; f() }
    m(o) { o.counted++; delete o.removed; [o.swapped] = [1]; ({ x: o.listed } = o); for (o.looped of [1]); o['quoted'] = 1; o.words[3] = 1 }
  }`
  const { written } = lower(code, 'x.js', runtime)
  t.deepEqual(written, ['counted', 'foreign', 'grown', 'late', 'listed', 'looped', 'quoted', 'removed', 'swapped'])
})

test('the fields of all loaded modules are known together', async (t) => {
  for (const name of ['first_unlikely', 'second_unlikely']) {
    const lowered = lower(`export const f = (o) => { o.${name} = 1 }`, 'x.js', runtime).code
    await import(`data:text/javascript,${encodeURIComponent(lowered)}`)
  }
  const all = writtenFields()
  t.true(all.has('first_unlikely') && all.has('second_unlikely'))
})

test('a suspended call stands at its await, one that returns a call at its return', (t) => {
  const code = 'export async function f(y) {\n  const a =\n    1 + (await y)\n  return y(a)\n}'
  const { sites } = lower(code, 'x.js', runtime)
  t.deepEqual(sites[0]!.places.slice(1), [[3, 9]])
  t.deepEqual(sites[0]!.returns[0], [4, 2])
})

test('positions are those of the source when they are known', (t) => {
  const { sites, closures } = lower('export const f = async (y) => { await y }', 'x.ts', runtime, (line, column) => ({
    line: line + 40,
    column: column + 1,
  }))
  t.deepEqual(sites[0]!.places.at(-1), [41, 33])
  t.deepEqual(closures[0]!.place, [41, 18])
  const refused = t.throws(() => lower('class A { #x = 1 }', 'x.ts', runtime, () => ({ line: 8, column: 2 })))
  t.regex(refused.message, /^x\.ts:8:3: /)
})
