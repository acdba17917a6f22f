/** Guests that fill the cache of translated code, and that jump into the middle of instructions: time, never correctness. */
import test from 'ava'
import { PAGE_SIZE } from '../../../src/base/index.ts'
import type { Hpa } from '../../../src/base/index.ts'
import { Assembler, CODE_CACHE_BYTES, CodeCache, Machine } from '../../../src/guest/index.ts'
import { BATCH_INSTRUCTIONS } from '../../../src/guest/translate/code-cache.ts'
import { UNIT_LIMIT } from '../../../src/guest/translate/discover.ts'
import { PhysicalMemory } from '../../../src/hardware/index.ts'
import { Kernel } from '../../../src/host/index.ts'
import { BASE, MEMORY, elf, outcomeOf, randomProgram } from './random-guest.ts'

const SEEDS = process.env['UMBRA_LONG'] === '1' ? 60 : 1

test('a cache that is full again and again changes nothing in a run', async (t) => {
  const codeBytes = 1000
  let evicted = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const program = randomProgram(seed)
    const options = { engine: 'translator', threshold: 1 + (seed % 2), codeBytes, budget: 10_000 } as const
    const expected = await outcomeOf(program, { engine: 'reference', budget: 10_000 })
    t.deepEqual(await outcomeOf(program, options), expected, `seed ${seed}`)
    const kernel = new Kernel({ frames: 1024, scratchBytes: 4 * 1024 * 1024 })
    await kernel.run(async () => {
      const machine = await Machine.create(kernel, { name: 'm', program, memory: MEMORY, quantum: 997, ...options })
      await machine.run()
      const cache = kernel.memory.scratch.shared.get('translator') as CodeCache
      evicted += cache.stats.evictedBatches
      // A batch is kept even if it is larger than all that may be kept.
      t.true(cache.bytes <= codeBytes || cache.stats.modules - cache.stats.evictedBatches === 1)
      await machine.destroy()
    })
  }
  t.true(evicted > 5 * SEEDS, `${evicted} batches thrown away`)
})

test('what is thrown away makes code wait until it is hotter, and that passes', (t) => {
  const memory = new PhysicalMemory(64, { scratchBytes: CODE_CACHE_BYTES })
  const cache = new CodeCache(memory, 1, 1)
  const asm = new Assembler()
  const place = (frame: number): number => {
    memory.write32((frame * PAGE_SIZE) as Hpa, asm.word('jal', { rd: 0, imm: 0 }))
    return frame * PAGE_SIZE
  }
  const wait = (runs: number): void => {
    for (let run = 0; run < runs; run++) cache.tick(0)
  }
  for (let frame = 1; frame <= 8; frame++) cache.translate([place(frame)])
  t.is(cache.stats.evictedBatches, 7)
  const hot = place(20)
  for (let lap = 1; lap <= 7; lap++) {
    cache.add(hot)
    wait(4)
    t.false(cache.link(hot), `lap ${lap}`)
  }
  cache.add(hot)
  wait(4)
  t.true(cache.link(hot))
  wait(64 * 10)
  const later = place(21)
  cache.add(later)
  wait(4)
  t.true(cache.link(later))
})

test('however many places are hot at once, a batch is bounded', (t) => {
  const memory = new PhysicalMemory(64, { scratchBytes: CODE_CACHE_BYTES })
  const cache = new CodeCache(memory, 2)
  for (let at = PAGE_SIZE; at < 60 * PAGE_SIZE; at += 4) memory.write32(at as Hpa, 0x0015_0513)
  const hosts = Array.from({ length: 59 }, (_, i) => (i + 1) * PAGE_SIZE + 1200)
  let [modules, instructions] = [0, 0]
  const check = (): void => {
    const { stats } = cache
    t.true(stats.modules - modules <= 1)
    t.true(stats.instructions - instructions < BATCH_INSTRUCTIONS + UNIT_LIMIT)
    modules = stats.modules
    instructions = stats.instructions
  }
  for (const host of hosts) {
    cache.add(host)
    check()
    cache.tick(100_000)
    check()
  }
  for (let run = 0; run < 200; run++) {
    cache.tick(0)
    check()
  }
  t.is(cache.stats.units, hosts.length)
})

test('code at host address 0 is no different: an empty map does not lead anywhere from there', (t) => {
  const memory = new PhysicalMemory(2, { scratchBytes: CODE_CACHE_BYTES })
  const cache = new CodeCache(memory, 2)
  memory.write32(0 as Hpa, 0x0000_006f)
  t.false(cache.link(0))
  const map = new Int32Array(
    memory.memory.buffer,
    (cache as unknown as { readonly map: { readonly base: number } }).map.base,
    1,
  )
  t.is(map[0], -1)
  cache.translate([0])
  t.true(cache.link(0))
  t.is(map[0], 0)
  cache.clear()
  t.false(cache.link(0))
  t.is(map[0], -1)
})

test('a loop through both halves of the same bytes runs as on the reference', async (t) => {
  const asm = new Assembler()
  const bytes = new Uint8Array(4 * PAGE_SIZE)
  const view = new DataView(bytes.buffer)
  // The upper half of the lui is c.addi a0, 1; behind it c.addi a1, 1, and back to one or the other.
  view.setUint32(0, asm.word('lui', { rd: 12, imm: 0x0505 << 16 }), true)
  view.setUint16(4, 0x0585, true)
  view.setUint32(6, asm.word('andi', { rd: 13, rs1: 11, imm: 1 }), true)
  view.setUint32(10, asm.word('beq', { rs1: 13, rs2: 0, imm: -8 }), true)
  view.setUint32(14, asm.word('jal', { rd: 0, imm: -14 }), true)
  const program = elf(bytes, BASE, BASE)
  const expected = await outcomeOf(program, { engine: 'reference', budget: 5000 })
  for (const threshold of [1, 2, 8]) {
    t.deepEqual(await outcomeOf(program, { engine: 'translator', threshold, budget: 5000 }), expected)
  }
  t.regex(expected.state, /,\w{3},/)
})

test('what is translated is paid for by what was executed', (t) => {
  const memory = new PhysicalMemory(64, { scratchBytes: CODE_CACHE_BYTES })
  const cache = new CodeCache(memory, 100)
  for (let at = PAGE_SIZE; at < 60 * PAGE_SIZE; at += 4) memory.write32(at as Hpa, 0x0015_0513)
  const addAll = (): void => {
    for (let frame = 1; frame < 60; frame++) {
      cache.add(frame * PAGE_SIZE + 1200)
      cache.tick(0)
    }
    for (let run = 0; run < 100; run++) cache.tick(0)
  }
  addAll()
  const first = cache.stats.instructions
  t.true(first > 1500 && first < 2000 + 16 * UNIT_LIMIT, `${first} instructions without any executed`)
  addAll()
  t.is(cache.stats.instructions, first)
  cache.tick(1e9)
  addAll()
  t.true(cache.stats.instructions > first)
})
