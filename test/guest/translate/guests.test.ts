/** The example guests end alike on the translator and the reference interpreter: console, state, memory, time, exits. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import type { MachineOptions } from '../../../src/guest/index.ts'
import { outcomeOf } from './random-guest.ts'

const GUESTS: readonly (readonly [string, string, Partial<MachineOptions>])[] = [
  ['hello', '', {}],
  ['paging', '', {}],
  ['paging', '', { vm: { paging: 'shadow' } }],
  ['patterns', 'kib=64 rounds=2', {}],
  ['smp', 'rounds=8 remaps=4', { harts: 3, quantum: 311 }],
  ['selfmod', 'rounds=20', { harts: 2, quantum: 499 }],
  ['timer', 'ticks=3 microseconds=50', {}],
  ['sort', 'count=400', { vm: { paging: 'shadow' } }],
  ['jump-nowhere', '', {}],
  ['recursive-table', '', {}],
  ['float', '', {}],
  ['spin', '', { budget: 100_000 }],
  ['wild-mmio', '', {}],
  ['write-text', '', {}],
]

for (const [name, bootargs, options] of GUESTS) {
  test(`${name} ${bootargs} ${JSON.stringify(options)} runs alike on both`, async (t) => {
    const program = readFileSync(`examples/guests/prebuilt/${name}.elf`)
    const both = { bootargs, budget: 3_000_000, ...options }
    const reference = await outcomeOf(program, { ...both, engine: 'reference' })
    t.deepEqual(await outcomeOf(program, { ...both, engine: 'translator', threshold: 3 }), reference)
  })
}
