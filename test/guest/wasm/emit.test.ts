/** The byte emitter: golden bytes, and modules that run. */
import test from 'ava'
import fc from 'fast-check'
import { Wasm } from '../../../src/base/index.ts'
import { ByteWriter, Mem, ModuleBuilder, Op, Type } from '../../../src/guest/index.ts'

const run = (bytes: Uint8Array, imports: Record<string, Record<string, unknown>> = {}): Record<string, any> =>
  new Wasm.Instance(new Wasm.Module(bytes), imports).exports as Record<string, any>

test('LEB128 is what the specification says, at every length', (t) => {
  const w = new ByteWriter(1)
  const encoded = (write: () => void): string => {
    w.clear()
    write()
    return Buffer.from(w.toBytes()).toString('hex')
  }
  t.is(
    encoded(() => w.unsigned(624485)),
    'e58e26',
  )
  t.is(
    encoded(() => w.unsigned(0xffff_ffff)),
    'ffffffff0f',
  )
  t.is(
    encoded(() => w.signed(-123456)),
    'c0bb78',
  )
  t.is(
    encoded(() => w.signed(64)),
    'c000',
  )
  t.is(
    encoded(() => w.signedBig(-(2n ** 63n))),
    '8080808080808080807f',
  )
  fc.assert(
    fc.property(fc.maxSafeInteger(), (n) => {
      t.is(
        encoded(() => w.signed(n)),
        encoded(() => w.signedBig(BigInt(n))),
      )
    }),
  )
})

test('a module of one function is these bytes', (t) => {
  const m = new ModuleBuilder()
  m.function(m.type([Type.i32], [Type.i32]), 'next')
  const c = m.begin(1)
  c.get(0)
  c.i32(1)
  c.op(Op.i32Add)
  m.end(c)
  t.is(
    Buffer.from(m.finish()).toString('hex'),
    '0061736d0100000001060160017f017f03020100070801046e65787400000a09010700200041016a0b',
  )
  t.is(run(m.finish())['next'](41), 42)
})

test('constants of every type come back as they went in', (t) => {
  fc.assert(
    fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.integer(), fc.double(), fc.float(), (l, i, d, f) => {
      const m = new ModuleBuilder()
      const define = (
        type: 0x7f | 0x7e | 0x7d | 0x7c,
        name: string,
        write: (c: ReturnType<typeof m.begin>) => void,
      ) => {
        m.function(m.type([], [type]), name)
        const c = m.begin(0)
        write(c)
        m.end(c)
      }
      define(Type.i64, 'l', (c) => c.i64Big(l))
      define(Type.i64, 'n', (c) => c.i64(i))
      define(Type.i32, 'i', (c) => c.i32(i))
      define(Type.f64, 'd', (c) => c.f64(d))
      define(Type.f32, 'f', (c) => c.f32(f))
      const e = run(m.finish())
      t.is(e['l'](), l)
      t.is(e['n'](), BigInt(i))
      t.is(e['i'](), i)
      t.is(e['d'](), d)
      t.is(e['f'](), f)
    }),
    { numRuns: 20 },
  )
})

test('locals, control flow, calls, tables, globals and memory work together', (t) => {
  const m = new ModuleBuilder()
  const unary = m.type([Type.i32], [Type.i32])
  t.is(unary, m.type([Type.i32], [Type.i32]))
  const twice = m.importFunction('umbra', 'twice', unary)
  m.importMemory('umbra', 'memory', 1)
  const table = m.importTable('umbra', 'table')
  const slot = m.importGlobal('umbra', 'slot', Type.i32)
  const counter = m.global(Type.i32, true, -7, 'counter')
  const sum = m.function(unary, 'sum')
  const through = m.function(unary, 'through')
  const choose = m.function(unary, 'choose')
  m.elementAt(slot, [sum])

  // 1 + 2 + ... + n, with locals of mixed types.
  const c = m.begin(1)
  const wide = c.local(Type.i64)
  const total = c.local(Type.i32)
  c.loop()
  c.get(0)
  c.get(total)
  c.op(Op.i32Add)
  c.set(total)
  c.get(0)
  c.op(Op.i64ExtendI32U)
  c.set(wide)
  c.get(0)
  c.i32(1)
  c.op(Op.i32Sub)
  c.tee(0)
  c.brIf(c.depth)
  c.end()
  c.globalGet(counter)
  c.i32(1)
  c.op(Op.i32Add)
  c.globalSet(counter)
  c.i32(16)
  c.get(total)
  c.mem(Mem.i32Store, 4)
  c.i32(64)
  c.i32(0xab)
  c.i32(3)
  c.memoryFill()
  c.i32(65)
  c.i32(64)
  c.i32(3)
  c.memoryCopy()
  c.get(total)
  m.end(c)

  const d = m.begin(1)
  d.get(0)
  d.globalGet(slot)
  d.callIndirect(unary, table)
  d.returnCall(twice)
  m.end(d)

  const e = m.begin(1)
  const outer = e.block()
  const inner = e.block()
  e.get(0)
  e.brTable([inner, outer], outer)
  e.end()
  e.i32(100)
  e.return()
  e.end()
  e.i32(200)
  m.end(e)

  const memory = new Wasm.Memory({ initial: 1 })
  const instance = run(m.finish(), {
    umbra: {
      memory,
      twice: (n: number) => 2 * n,
      table: new Wasm.Table({ element: 'anyfunc', initial: 8 }),
      slot: new Wasm.Global({ value: 'i32' }, 5),
    },
  })
  t.is(instance['sum'](10), 55)
  t.is(new DataView(memory.buffer).getInt32(20, true), 55)
  t.deepEqual([...new Uint8Array(memory.buffer, 64, 5)], [0xab, 0xab, 0xab, 0xab, 0])
  t.is(instance['through'](4), 20)
  t.is(instance['counter'].value, -5)
  t.deepEqual([0, 1, 2].map(instance['choose']), [100, 200, 200])
  t.is(through, choose - 1)
})

test('a builder that is reset makes the same module again', (t) => {
  const m = new ModuleBuilder()
  const make = (): Uint8Array => {
    m.reset()
    m.function(m.type([], []), 'a')
    m.function(m.type([], []), 'b')
    const [a, b] = [m.begin(0), m.begin(0)]
    b.op(Op.nop)
    m.end(a)
    m.end(b)
    return m.finish()
  }
  t.deepEqual(make(), make())
  t.true(Wasm.validate(make()))
})

test('a declared function without a body is a bug', (t) => {
  const m = new ModuleBuilder()
  m.function(m.type([], []))
  t.throws(() => m.finish(), { message: /1 functions declared, 0 bodies/ })
})
