/** Tables that do not fit in the scratch area: one clear error, and nothing is taken. */
import test from 'ava'
import { KernelError } from '../../../src/base/index.ts'
import {
  CODE_CACHE_BYTES,
  CodeCache,
  EXPANSIONS_BYTES,
  HART_AREA_BYTES,
  HartArea,
  interpreterParts,
} from '../../../src/guest/index.ts'
import { scratchPieces } from '../../../src/guest/wasm/scratch-pieces.ts'
import { PhysicalMemory } from '../../../src/hardware/index.ts'

const SMALL = 65536

/** What engines put there, and the bytes that they need. */
const TABLES: readonly (readonly [string, number, (memory: PhysicalMemory) => unknown])[] = [
  ['the tables of a hart', HART_AREA_BYTES, (memory) => new HartArea(memory)],
  ['the tables of the interpreter', EXPANSIONS_BYTES, (memory) => interpreterParts(memory)],
  ['the tables of translated code', CODE_CACHE_BYTES, (memory) => new CodeCache(memory)],
]

for (const [what, bytes, make] of TABLES) {
  test(`${what} need room`, (t) => {
    const memory = new PhysicalMemory(16, { scratchBytes: bytes - 64 })
    const error = t.throws(() => make(memory), { instanceOf: KernelError, code: 'ENOMEM' })
    t.regex(error?.message ?? '', new RegExp(`no room for ${what}: they take .* give the kernel more scratchBytes$`))
    t.is(memory.scratch.available, bytes - 64)
    t.notThrows(() => make(new PhysicalMemory(16, { scratchBytes: bytes })))
  })

  test(`${what} need room in one piece each`, (t) => {
    const memory = new PhysicalMemory(16, { scratchBytes: 3 * bytes })
    const { scratch } = memory
    const pieces = Array.from({ length: Math.floor((3 * bytes) / SMALL) }, () => scratch.allocate(SMALL))
    for (const piece of pieces.filter((_, index) => index % 2 === 0)) scratch.release(piece)
    const { available } = scratch
    t.true(available >= bytes)
    t.throws(() => make(memory), { instanceOf: KernelError, code: 'ENOMEM' })
    t.is(scratch.available, available)
  })
}

test('of several pieces all are taken, or none', (t) => {
  const { scratch } = new PhysicalMemory(16, { scratchBytes: 4 * SMALL })
  t.throws(() => scratchPieces(scratch, 'them', { first: SMALL, second: 4 * SMALL }), {
    instanceOf: KernelError,
    code: 'ENOMEM',
  })
  t.is(scratch.available, 4 * SMALL)
  const { first, second } = scratchPieces(scratch, 'them', { first: SMALL, second: 3 * SMALL })
  t.is(second, first + SMALL)
  t.is(scratch.available, 0)
})
