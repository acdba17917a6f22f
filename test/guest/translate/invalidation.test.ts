/** Code that changes under translated code: stored to by the guest, by the host, paged out while it runs. */
import test from 'ava'
import { MiB, PAGE_SIZE, gpa } from '../../../src/base/index.ts'
import type { Hpa } from '../../../src/base/index.ts'
import { Assembler, CODE_CACHE_BYTES, CodeCache, Machine } from '../../../src/guest/index.ts'
import type { EngineName } from '../../../src/guest/index.ts'
import { UNIT_LIMIT } from '../../../src/guest/translate/discover.ts'
import { INTERPRETED } from '../../../src/guest/translate/tiers.ts'
import { FOUND_UNIT } from '../../../src/guest/wasm/unit-hooks.ts'
import { Word } from '../../../src/guest/wasm/layout.ts'
import { PhysicalMemory } from '../../../src/hardware/index.ts'
import { Kernel } from '../../../src/host/index.ts'
import { BASE, elf } from './random-guest.ts'

const asm = new Assembler()
const LOOP = [
  asm.word('addi', { rd: 10, rs1: 10, imm: 1 }),
  asm.word('xor', { rd: 11, rs1: 11, rs2: 10 }),
  asm.word('jal', { rd: 0, imm: -8 }),
]

function image(words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * PAGE_SIZE)
  const view = new DataView(bytes.buffer)
  for (const [i, word] of words.entries()) view.setUint32(4 * i, word, true)
  return elf(bytes, BASE, BASE)
}

/** Registers after so many instructions, in two pieces; `between` happens after the first. */
async function registersAfter(
  engine: EngineName,
  words: readonly number[],
  budget: number,
  between: (machine: Machine) => Promise<void>,
  disturb: (machine: Machine) => Promise<void> = async () => {},
): Promise<string> {
  const kernel = new Kernel({ frames: 1024, scratchBytes: 4 * MiB, swapPages: 256 })
  return kernel.run(async () => {
    const program = image(words)
    const machine = await Machine.create(kernel, {
      name: 'm',
      program,
      memory: MiB,
      budget,
      quantum: 101,
      engine,
      threshold: 2,
    })
    const storm = kernel.sched.spawn('storm', () => disturb(machine))
    await machine.run()
    await between(machine)
    machine.resume(budget)
    const result = await machine.wait()
    const registers = machine.runs[0]!.hart.state.cells.slice(0, 33).join()
    await machine.destroy()
    await kernel.sched.join(storm)
    return `${result.cause} ${result.instructions.join()} ${result.nanoseconds} ${registers}`
  })
}

const nothing = async (): Promise<void> => {}

const patch = async (machine: Machine): Promise<void> => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, asm.word('addi', { rd: 10, rs1: 10, imm: 7 }), true)
  await machine.vm.writeGuest(gpa(BASE), bytes)
}

const disturb = async (machine: Machine): Promise<void> => {
  for (let i = 0; i < 20; i++) {
    await machine.sched.sleep(700)
    await machine.mm.madvise(machine.ram.start, 2 * PAGE_SIZE, 'pageout')
  }
}

test('code written by the host is executed at once, and the old code never again', async (t) => {
  const expected = await registersAfter('reference', LOOP, 3000, patch)
  t.is(await registersAfter('translator', LOOP, 3000, patch), expected)
  t.not(await registersAfter('translator', LOOP, 3000, nothing), expected)
})

test('a guest that rewrites its own loop for ever runs as on the reference', async (t) => {
  // Each round stores another immediate into the addi at the top.
  const words = [
    asm.word('auipc', { rd: 5, imm: 0 }),
    asm.word('lw', { rd: 6, rs1: 5, imm: 12 }),
    asm.word('lui', { rd: 7, imm: 0x0010_0000 }),
    asm.word('addi', { rd: 10, rs1: 10, imm: 1 }),
    asm.word('add', { rd: 6, rs1: 6, rs2: 7 }),
    asm.word('sw', { rs1: 5, rs2: 6, imm: 12 }),
    asm.word('addi', { rd: 12, rs1: 12, imm: 1 }),
    asm.word('jal', { rd: 0, imm: -16 }),
  ]
  const expected = await registersAfter('reference', words, 4000, nothing)
  t.is(await registersAfter('translator', words, 4000, nothing), expected)
})

test('a page of code that is paged out again and again while it runs is executed as on the reference', async (t) => {
  const expected = await registersAfter('reference', LOOP, 10_000, nothing, disturb)
  t.is(await registersAfter('translator', LOOP, 10_000, nothing, disturb), expected)
})

test('an access over the end of a remembered page goes to the next page, wherever its frame is', async (t) => {
  const second = asm.word('sd', { rs1: 7, rs2: 5, imm: 0 })
  const first = asm.word('sd', { rs1: 12, rs2: 5, imm: 0 })
  // In one of the two orders the frame of the second page does not follow that of the first.
  for (const touched of [
    [first, second],
    [second, first],
  ]) {
    const words = [
      asm.word('auipc', { rd: 5, imm: 0 }),
      asm.word('lui', { rd: 6, imm: 0x1_1000 }),
      asm.word('add', { rd: 7, rs1: 5, rs2: 6 }),
      asm.word('addi', { rd: 12, rs1: 7, imm: -16 }),
      ...touched,
      asm.word('addi', { rd: 10, rs1: 10, imm: 1 }),
      asm.word('ld', { rd: 13, rs1: 12, imm: 0 }),
      asm.word('ld', { rd: 14, rs1: 12, imm: 12 }),
      asm.word('add', { rd: 11, rs1: 11, rs2: 14 }),
      asm.word('sd', { rs1: 12, rs2: 11, imm: 0 }),
      asm.word('slli', { rd: 16, rs1: 10, imm: 40 }),
      asm.word('sd', { rs1: 12, rs2: 16, imm: 12 }),
      asm.word('ld', { rd: 15, rs1: 7, imm: 0 }),
      asm.word('add', { rd: 11, rs1: 11, rs2: 15 }),
      asm.word('jal', { rd: 0, imm: -36 }),
    ]
    const expected = await registersAfter('reference', words, 3000, nothing)
    t.is(await registersAfter('translator', words, 3000, nothing), expected)
  }
})

function cacheOf(frames: number): { readonly memory: PhysicalMemory; readonly cache: CodeCache } {
  const memory = new PhysicalMemory(frames, { scratchBytes: CODE_CACHE_BYTES })
  return { memory, cache: new CodeCache(memory, 2) }
}

test('every kind of store to a frame drops its code and no other', (t) => {
  const { memory, cache } = cacheOf(8)
  const stores: readonly ((at: Hpa) => void)[] = [
    (at) => memory.write8(at, 1),
    (at) => memory.write16(at, 1),
    (at) => memory.write32(at, 1),
    (at) => memory.write64(at, 1n),
    (at) => memory.writePte(at, 1, 1),
    (at) => memory.writeBytes(at, new Uint8Array(9)),
    (at) => memory.zeroFrame((at / PAGE_SIZE) as never),
    (at) => memory.copyFrame((at / PAGE_SIZE) as never, 7 as never),
  ]
  for (const [n, store] of stores.entries()) {
    for (const frame of [2, 3]) {
      for (const [i, word] of LOOP.entries()) memory.write32((frame * PAGE_SIZE + 4 * i) as Hpa, word)
      cache.translate([frame * PAGE_SIZE])
    }
    t.true(cache.link(2 * PAGE_SIZE) && cache.link(3 * PAGE_SIZE), `store ${n}`)
    store((3 * PAGE_SIZE) as Hpa)
    t.true(cache.link(2 * PAGE_SIZE), `store ${n}`)
    t.false(cache.link(3 * PAGE_SIZE), `store ${n}`)
  }
})

test('no row of the code map outlives its unit, and a full cache makes room for new code', (t) => {
  const { memory, cache } = cacheOf(64)
  for (let round = 0; round < 200; round++) {
    const frame = 1 + (round % 60)
    for (const [i, word] of LOOP.entries()) memory.write32((frame * PAGE_SIZE + 4 * i) as Hpa, word)
    for (let at = 12; at < 2000; at += 4) memory.write32((frame * PAGE_SIZE + at) as Hpa, 0x0015_0513)
    t.is(cache.translate([frame * PAGE_SIZE, frame * PAGE_SIZE + 400]), 2)
    t.true(cache.bytes < 16 * MiB)
  }
  cache.clear()
  t.is(cache.bytes, 0)
  for (let frame = 1; frame < 61; frame++) t.false(cache.link(frame * PAGE_SIZE))
  t.is(cache.liveRows(), 0)
})

test('a unit has so many instructions at most, however much code follows', (t) => {
  const { memory, cache } = cacheOf(4)
  for (let at = 0; at < PAGE_SIZE; at += 4) memory.write32((PAGE_SIZE + at) as Hpa, 0x0015_0513)
  t.is(cache.translate([PAGE_SIZE]), 1)
  t.is(cache.stats.instructions, UNIT_LIMIT)
})

test('a unit that the map leads to and the dispatcher does not find is named, not looked for for ever', async (t) => {
  const kernel = new Kernel({ frames: 1024, scratchBytes: 4 * MiB })
  const run = kernel.run(async () => {
    const options = {
      name: 'm',
      program: image(LOOP),
      memory: MiB,
      quantum: 101,
      engine: 'translator',
      threshold: 2,
    } as const
    const machine = await Machine.create(kernel, { ...options, budget: 2000 })
    await machine.run()
    const cache = kernel.memory.scratch.shared.get('translator') as CodeCache
    t.true(cache.stats.units > 0)
    // As if the dispatcher's place in the map were another one than the interpreter's.
    const { engine } = machine.runs[0]!
    const broken = cache.joinTiers(() => {
      const { area } = engine as unknown as { readonly area: { readonly i32: Int32Array; readonly base: number } }
      area.i32[Word.budget / 4] = area.i32[INTERPRETED / 4]!
      return FOUND_UNIT
    })
    Object.assign(engine, { tiers: [broken, null] })
    cache.clear()
    machine.resume(100)
    await machine.wait()
  })
  await t.throwsAsync(run, { message: /translator: hart 0 makes no progress at pc 0x8000.* no unit is there/ })
})
