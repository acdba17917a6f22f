import test from 'ava'
import * as fc from 'fast-check'
import { KernelBug, KernelError, PAGE_SIZE, hpa, pfn } from '../../src/base/index.ts'
import { PhysicalMemory } from '../../src/hardware/index.ts'

const FRAMES = 3
const BYTES = FRAMES * PAGE_SIZE

/** One store of every kind, at any alignment and across frames. */
type Store =
  | { readonly kind: 8 | 16 | 32; readonly at: number; readonly value: number }
  | { readonly kind: 64; readonly at: number; readonly value: bigint }
  | { readonly kind: 'pte'; readonly at: number; readonly low: number; readonly high: number }
  | { readonly kind: 'bytes'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'copy'; readonly to: number; readonly from: number }
  | { readonly kind: 'zero'; readonly frame: number }
  | { readonly kind: 'swap'; readonly at: number; readonly value: number; readonly right: boolean }
  | { readonly kind: 'swap-pte'; readonly at: number; readonly low: number; readonly right: boolean }

/** Addresses that crowd around frame borders, so that overlaps and crossings happen. */
const place = (size: number): fc.Arbitrary<number> =>
  fc.oneof(
    fc.integer({ min: 0, max: BYTES - size }),
    fc.integer({ min: PAGE_SIZE - 12, max: PAGE_SIZE + 12 }),
    fc.integer({ min: 2 * PAGE_SIZE - 12, max: 2 * PAGE_SIZE + 12 }),
    fc.integer({ min: BYTES - size - 8, max: BYTES - size }),
  )
const word = fc.integer({ min: 0, max: 0xffffffff })
const frame = fc.integer({ min: 0, max: FRAMES - 1 })
const store: fc.Arbitrary<Store> = fc.oneof(
  fc.record({ kind: fc.constant(8 as const), at: place(1), value: word }),
  fc.record({ kind: fc.constant(16 as const), at: place(2), value: word }),
  fc.record({ kind: fc.constant(32 as const), at: place(4), value: word }),
  fc.record({ kind: fc.constant(64 as const), at: place(8), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
  fc.record({ kind: fc.constant('pte' as const), at: place(8), low: word, high: word }),
  fc
    .uint8Array({ maxLength: 40 })
    .chain((bytes) => fc.record({ kind: fc.constant('bytes' as const), at: place(40), bytes: fc.constant(bytes) })),
  fc.record({ kind: fc.constant('copy' as const), to: frame, from: frame }),
  fc.record({ kind: fc.constant('zero' as const), frame }),
  fc.record({ kind: fc.constant('swap' as const), at: place(4), value: word, right: fc.boolean() }),
  fc.record({ kind: fc.constant('swap-pte' as const), at: place(8), low: word, right: fc.boolean() }),
)

function apply(memory: PhysicalMemory, s: Store): void {
  switch (s.kind) {
    case 8:
      return memory.write8(hpa(s.at), s.value)
    case 16:
      return memory.write16(hpa(s.at), s.value)
    case 32:
      return memory.write32(hpa(s.at), s.value)
    case 64:
      return memory.write64(hpa(s.at), s.value)
    case 'pte':
      return memory.writePte(hpa(s.at), s.low, s.high)
    case 'bytes':
      return memory.writeBytes(hpa(s.at), s.bytes)
    case 'copy':
      return memory.copyFrame(pfn(s.to), pfn(s.from))
    case 'zero':
      return memory.zeroFrame(pfn(s.frame))
    case 'swap': {
      const now = memory.read32(hpa(s.at))
      memory.compareAndSwapLow(hpa(s.at), s.right ? now : now ^ 1, s.value)
      return
    }
    case 'swap-pte': {
      const low = memory.readLow(hpa(s.at))
      const high = memory.readHigh(hpa(s.at))
      memory.compareAndSwapPte(hpa(s.at), low, s.right ? high : high ^ 1, s.low, high)
    }
  }
}

/** The same store on a plain byte array: the model. */
function applyToModel(model: Uint8Array, s: Store): void {
  const put = (at: number, size: number, value: bigint): void => {
    for (let i = 0; i < size; i++) model[at + i] = Number((value >> BigInt(8 * i)) & 0xffn)
  }
  switch (s.kind) {
    case 8:
    case 16:
    case 32:
      return put(s.at, s.kind / 8, BigInt(s.value))
    case 64:
      return put(s.at, 8, s.value)
    case 'pte':
      return put(s.at, 8, (BigInt(s.high) << 32n) | BigInt(s.low))
    case 'bytes':
      return model.set(s.bytes, s.at)
    case 'copy':
      model.set(model.slice(s.from * PAGE_SIZE, (s.from + 1) * PAGE_SIZE), s.to * PAGE_SIZE)
      return
    case 'zero':
      model.fill(0, s.frame * PAGE_SIZE, (s.frame + 1) * PAGE_SIZE)
      return
    case 'swap':
      if (s.right) put(s.at, 4, BigInt(s.value))
      return
    case 'swap-pte':
      if (s.right) put(s.at, 4, BigInt(s.low))
  }
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
const contents = (memory: PhysicalMemory): Uint8Array => memory.readBytes(hpa(0), BYTES)
const hashOf = (memory: PhysicalMemory): string => `${memory.snapshotHash(0)} ${memory.snapshotHash(1)}`
/** The hash of the same bytes in a memory that digests them for the first time. */
function hashFromScratch(bytes: Uint8Array): string {
  const memory = new PhysicalMemory(FRAMES)
  memory.writeBytes(hpa(0), bytes)
  return hashOf(memory)
}

test('stores of every kind, size and alignment leave what a plain byte array would hold', (t) => {
  fc.assert(
    fc.property(fc.array(store, { maxLength: 40 }), fc.boolean(), (stores, recording) => {
      const memory = new PhysicalMemory(FRAMES)
      const model = new Uint8Array(BYTES)
      if (recording) memory.snapshotMark()
      for (const s of stores) {
        apply(memory, s)
        applyToModel(model, s)
      }
      t.true(sameBytes(contents(memory), model))
    }),
  )
})

test('loads of every size agree with the bytes, little endian', (t) => {
  const memory = new PhysicalMemory(FRAMES)
  for (let i = 0; i < BYTES; i++) memory.write8(hpa(i), (i * 7 + (i >> 8)) & 0xff)
  fc.assert(
    fc.property(place(8), (at) => {
      const bytes = memory.readBytes(hpa(at), 8)
      const value = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
      t.is(memory.read64(hpa(at)), value)
      t.is(memory.read32(hpa(at)), Number(value & 0xffffffffn))
      t.is(memory.readLow(hpa(at)), Number(value & 0xffffffffn))
      t.is(memory.readHigh(hpa(at)), Number(value >> 32n))
      t.is(memory.read16(hpa(at)), Number(value & 0xffffn))
      t.is(memory.read8(hpa(at)), Number(value & 0xffn))
      t.is(memory.bytes[at], bytes[0])
    }),
  )
})

test('undoing to a mark gives back every byte, for nested marks used more than once', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 6, arbitrary: store }, fc.constantFrom('mark', 'undo', 'hash')), { maxLength: 60 }),
      (steps) => {
        const memory = new PhysicalMemory(FRAMES)
        memory.write64(hpa(PAGE_SIZE - 3), 0x1122334455667788n)
        const marks: { readonly mark: number; readonly bytes: Uint8Array }[] = []
        for (const step of steps) {
          if (step === 'mark') marks.push({ mark: memory.snapshotMark(), bytes: contents(memory) })
          else if (step === 'hash') hashOf(memory)
          else if (step === 'undo') {
            const last = marks.at(-1)
            if (last === undefined) continue
            memory.snapshotUndo(last.mark)
            t.true(sameBytes(contents(memory), last.bytes))
            if (memory.read8(hpa(0)) % 2 === 0) marks.pop()
          } else if (typeof step === 'object') apply(memory, step)
        }
        for (const { mark, bytes } of marks.toReversed()) {
          memory.snapshotUndo(mark)
          t.true(sameBytes(contents(memory), bytes))
        }
      },
    ),
  )
})

test('the running hash equals one computed from scratch, after stores and after undo', (t) => {
  fc.assert(
    fc.property(fc.array(store, { maxLength: 15 }), fc.array(store, { maxLength: 15 }), (before, after) => {
      const memory = new PhysicalMemory(FRAMES)
      const empty = hashOf(memory)
      const start = memory.snapshotMark()
      for (const s of before) apply(memory, s)
      t.is(hashOf(memory), hashFromScratch(contents(memory)))
      const middle = hashOf(memory)
      const mark = memory.snapshotMark()
      for (const s of after) apply(memory, s)
      t.is(hashOf(memory), hashFromScratch(contents(memory)))
      memory.snapshotUndo(mark)
      t.is(hashOf(memory), middle)
      memory.snapshotUndo(start)
      t.is(hashOf(memory), empty)
    }),
    { numRuns: 60 },
  )
})

test('different contents hash differently, whatever the word, the frame or the order', (t) => {
  const seen = new Map<string, string>()
  const memory = new PhysicalMemory(FRAMES)
  const empty = hashOf(memory)
  const see = (what: string): void => {
    for (const half of [0, 1] as const) {
      const hash = `${half}: ${memory.snapshotHash(half)}`
      t.is(seen.get(hash), undefined, `${what} collides`)
      seen.set(hash, what)
    }
  }
  see('nothing')
  for (const at of [0, 4, 8, PAGE_SIZE, PAGE_SIZE + 4, 2 * PAGE_SIZE]) {
    for (const value of [1, 2, 3, 0x100, 0x80000000]) {
      memory.write32(hpa(at), value)
      see(`${value} at ${at}`)
      memory.write32(hpa(at), 0)
    }
  }
  memory.writePte(hpa(0), 1, 2)
  see('1 2')
  memory.writePte(hpa(0), 2, 1)
  see('2 1')
  memory.zeroFrame(pfn(0))
  t.is(hashOf(memory), empty)
})

test('frame digests and checksums are equal for equal frames and only depend on contents', (t) => {
  const memory = new PhysicalMemory(FRAMES)
  for (let i = 0; i < PAGE_SIZE; i += 8) memory.write64(hpa(i), (BigInt(i) * 0x9e3779b97f4a7c15n) % 2n ** 64n)
  memory.copyFrame(pfn(2), pfn(0))
  t.true(memory.framesEqual(pfn(0), pfn(2)))
  t.is(memory.hashFrame(pfn(0)), memory.hashFrame(pfn(2)))
  t.is(memory.frameDigest(pfn(0), 0), memory.frameDigest(pfn(2), 0))
  t.is(memory.frameDigest(pfn(0), 1), memory.frameDigest(pfn(2), 1))
  for (const at of [0, 1, 2047, 4095]) {
    memory.write8(hpa(2 * PAGE_SIZE + at), memory.read8(hpa(at)) ^ 0x10)
    t.false(memory.framesEqual(pfn(0), pfn(2)))
    t.not(memory.hashFrame(pfn(0)), memory.hashFrame(pfn(2)))
    t.not(memory.frameDigest(pfn(0), 0), memory.frameDigest(pfn(2), 0))
    memory.write8(hpa(2 * PAGE_SIZE + at), memory.read8(hpa(at)))
  }
  t.true(memory.framesEqual(pfn(0), pfn(2)))
})

test('after snapshotStop nothing is recorded, and recording starts afresh', (t) => {
  const memory = new PhysicalMemory(FRAMES)
  const old = memory.snapshotMark()
  memory.write32(hpa(0), 1)
  t.true(memory.recording)
  memory.snapshotStop()
  t.false(memory.recording)
  memory.write32(hpa(0), 2)
  const mark = memory.snapshotMark()
  t.is(mark, old)
  memory.write32(hpa(0), 3)
  t.is(hashOf(memory), hashFromScratch(contents(memory)))
  memory.snapshotUndo(mark)
  t.is(memory.read32(hpa(0)), 2)
})

test('a mark that an undo has passed is refused', (t) => {
  const memory = new PhysicalMemory(FRAMES)
  const first = memory.snapshotMark()
  memory.write32(hpa(0), 1)
  const second = memory.snapshotMark()
  memory.snapshotUndo(first)
  t.throws(() => memory.snapshotUndo(second), { instanceOf: KernelError, message: /undone already/ })
})

test('sizes no memory can have are refused in one line', (t) => {
  for (const frames of [0, -1, 1.5, Number.NaN, 2 ** 20 + 1, Infinity]) {
    const error = t.throws(() => new PhysicalMemory(frames), { instanceOf: KernelError }, `${frames} frames`)
    t.is(error.code, 'EINVAL')
    t.regex(error.message, /expected 1 to 1048576/)
  }
  for (const scratchBytes of [-1, 0.5, 4 * 2 ** 30]) {
    t.is(t.throws(() => new PhysicalMemory(1, { scratchBytes }), { instanceOf: KernelError }).code, 'EINVAL')
  }
})

test('the scratch area is reachable in the buffer and is no frame', (t) => {
  const memory = new PhysicalMemory(1, { scratchBytes: 64 })
  t.is(memory.scratchOffset, PAGE_SIZE)
  t.true(memory.memory.buffer.byteLength >= PAGE_SIZE + 64)
  t.false(memory.contains(PAGE_SIZE))
  t.false(memory.hasFrame(1))
  t.throws(() => memory.read8(hpa(PAGE_SIZE)), { instanceOf: KernelBug })
})

test('an access outside the frames is a bug that names the address', (t) => {
  const memory = new PhysicalMemory(1)
  const outside = [-1, PAGE_SIZE - 7, PAGE_SIZE, 2 ** 32, Number.NaN].map((at) => hpa(at))
  for (const at of outside) {
    t.throws(() => memory.read64(at), { instanceOf: KernelBug })
    t.throws(() => memory.readLow(at), { instanceOf: KernelBug })
    t.throws(() => memory.write64(at, 0n), { instanceOf: KernelBug })
    t.throws(() => memory.writePte(at, 0, 0), { instanceOf: KernelBug })
    t.throws(() => memory.writeBytes(at, new Uint8Array(8)), { instanceOf: KernelBug })
  }
  t.throws(() => memory.write32(hpa(PAGE_SIZE - 3), 0), { message: /4 bytes at 0xffd are outside/ })
  t.throws(() => memory.zeroFrame(pfn(1)), { instanceOf: KernelBug })
  t.throws(() => memory.copyFrame(pfn(0), pfn(-1)), { instanceOf: KernelBug })
  t.notThrows(() => memory.write64(hpa(PAGE_SIZE - 8), 1n))
})
