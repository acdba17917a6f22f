/** The reference interpreter agrees with QEMU on random programs over every row of the table. */
import test from 'ava'
import { Random } from '../../../src/base/index.ts'
import {
  CSR_ADDRESS,
  type Decoded,
  DecodeCache,
  Disassembler,
  type Engine,
  Exit,
  type ExitReason,
  type Hart,
  Interpreter,
  type Row,
  ROWS,
} from '../../../src/guest/index.ts'
import { template } from './differential/arena.ts'
import type { Outcome } from './differential/case.ts'
import { compare, describe, fieldOf, shrink } from './differential/compare.ts'
import { Generator } from './differential/generate.ts'
import { OurSide } from './differential/ours.ts'
import { qemuMissing } from './differential/qemu-machine.ts'
import { runInQemu } from './differential/qemu.ts'

const COUNT = process.env['UMBRA_LONG'] === '1' ? 20_000 : 1500
const SEED = Number(process.env['UMBRA_SEED'] ?? 1)
const BATCH = 20_000

/** Notes which rows retire and which causes are taken while cases run. */
class Coverage extends DecodeCache {
  readonly rows: Set<string> = new Set()
  readonly causes: Set<string> = new Set()
  private last: Decoded | undefined = undefined

  override short(half: number): Decoded {
    this.last = super.short(half)
    return this.last
  }
  override long(word: number): Decoded {
    this.last = super.long(word)
    return this.last
  }
  retired(): void {
    if (this.last !== undefined) this.rows.add(this.last.row.name)
  }
}

/** An engine that stops after every instruction, as the explorer runs it. */
function stepping(coverage: Coverage): (hart: Hart) => Engine {
  return (hart) => {
    const engine = new Interpreter(hart, coverage)
    const run = (budget: number): ExitReason => {
      let reason: ExitReason = Exit.INTR
      for (let left = budget; left > 0 && reason === Exit.INTR; left--) {
        const before = hart.instret
        reason = engine.run(1)
        if (hart.instret > before) coverage.retired()
        else coverage.causes.add(String(BigInt.asIntN(64, hart.readCsr(CSR_ADDRESS.scause) ?? 0n)))
      }
      return reason
    }
    return { hart, run, fenceI: () => engine.fenceI() }
  }
}

test('one instruction at a time ends in the same state as all at once, and the programs reach every row and cause', (t) => {
  const memory = template(() => new Random(SEED).next32())
  const generator = new Generator(SEED)
  const coverage = new Coverage()
  const [whole, single] = [new OurSide(memory), new OurSide(memory, stepping(coverage))]
  for (let n = 0; n < 12 * ROWS.length; n++) {
    const c = generator.next(ROWS[n % ROWS.length] as Row)
    const lines = compare(whole.run(c), single.run(c))
    if (lines.length > 0) t.fail(`case ${n}: ${lines.join(', ')}`)
  }
  // These only ever trap.
  const trapping = new Set(['ecall', 'ebreak', 'c.ebreak'])
  const missed = ROWS.filter((row) => !trapping.has(row.name) && !coverage.rows.has(row.name)).map((row) => row.name)
  t.deepEqual(missed, [])
  for (const cause of [1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15]) t.true(coverage.causes.has(String(cause)), `cause ${cause}`)
})

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
