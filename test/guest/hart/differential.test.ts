/** The reference interpreter agrees with QEMU on random programs over every row of the table. */
import test from 'ava'
import { Random } from '../../../src/base/index.ts'
import { Disassembler, type Row, ROWS } from '../../../src/guest/index.ts'
import { template } from './differential/arena.ts'
import type { Outcome } from './differential/case.ts'
import { compare, describe, fieldOf, shrink } from './differential/compare.ts'
import { Generator } from './differential/generate.ts'
import { OurSide } from './differential/ours.ts'
import { qemuMissing, runInQemu } from './differential/qemu.ts'

const COUNT = process.env['UMBRA_LONG'] === '1' ? 20_000 : 1500
const SEED = Number(process.env['UMBRA_SEED'] ?? 1)
const BATCH = 20_000

const missing = qemuMissing()
const oracle = missing === undefined ? test : test.skip
if (missing !== undefined) console.log(`differential tests skipped: ${missing}`)

oracle(`${COUNT} random programs end in the same state as under QEMU`, (t) => {
  const memory = template(() => new Random(SEED).next32())
  const generator = new Generator(SEED)
  const ours = new OurSide(memory)
  const cases = Array.from({ length: COUNT }, (_, n) => generator.next(ROWS[n % ROWS.length] as Row))
  const disassembler = new Disassembler()
  for (let from = 0; from < COUNT; from += BATCH) {
    const batch = cases.slice(from, from + BATCH)
    const theirs = runInQemu(memory, batch)
    for (const [n, c] of batch.entries()) {
      const mine = ours.run(c)
      const fields = new Set(compare(mine, theirs[n] as Outcome).map(fieldOf))
      if (fields.size === 0) continue
      // A smaller case must differ in the same places, or shrinking drifts to another disagreement.
      const small = shrink(c, (candidates) => {
        const outcomes = runInQemu(memory, candidates)
        return candidates.map((candidate, i) => {
          const lines = compare(ours.run(candidate), outcomes[i] as Outcome)
          return lines.length > 0 && lines.every((line) => fields.has(fieldOf(line)))
        })
      })
      const text = describe(small, ours.run(small), runInQemu(memory, [small])[0] as Outcome, disassembler)
      t.fail(`case ${from + n} of seed ${SEED} differs:\n${text}`)
      return
    }
  }
  t.pass()
})
