/** The generated interpreter agrees with the reference on random programs over every row of the table. */
import test from 'ava'
import { Random } from '../../../src/base/index.ts'
import { Disassembler, type Engine, Exit, type ExitReason, type Row, ROWS } from '../../../src/guest/index.ts'
import { template } from '../hart/differential/arena.ts'
import { interpreterSide } from '../hart/differential/cached-memory.ts'
import { compare, describe, shrink } from '../hart/differential/compare.ts'
import { Generator } from '../hart/differential/generate.ts'
import { OurSide } from '../hart/differential/ours.ts'

const COUNT = process.env['UMBRA_LONG'] === '1' ? 30_000 : 1300
const SEED = Number(process.env['UMBRA_SEED'] ?? 7)

/** Runs an engine in pieces of random length. */
function inPieces(engine: Engine): Engine {
  const random = new Random(SEED)
  const run = (budget: number): ExitReason => {
    let reason: ExitReason = Exit.INTR
    for (let left = budget; left > 0 && reason === Exit.INTR;) {
      const piece = Math.min(left, 1 + random.below(9))
      reason = engine.run(piece)
      left -= piece
    }
    return reason
  }
  return { hart: engine.hart, run, fenceI: () => engine.fenceI() }
}

for (const [title, wrap] of [
  ['at once', (engine: Engine): Engine => engine],
  ['in pieces of any length', inPieces],
] as const) {
  test(`${COUNT} random programs end as on the reference, run ${title}`, (t) => {
    const memory = template(() => new Random(SEED).next32())
    const generator = new Generator(SEED)
    const [reference, fast] = [new OurSide(memory), interpreterSide(memory, wrap)]
    const differences = (c: Parameters<OurSide['run']>[0]): string[] => {
      const lines = compare(fast.run(c), reference.run(c))
      const [ours, theirs] = [fast.hart.instret, reference.hart.instret]
      return ours === theirs ? lines : [...lines, `instret ${ours} ${theirs}`]
    }
    for (let n = 0; n < COUNT; n++) {
      const c = generator.next(ROWS[n % ROWS.length] as Row)
      if (differences(c).length === 0) continue
      const small = shrink(c, (candidates) => candidates.map((candidate) => differences(candidate).length > 0))
      t.fail(
        `case ${n} of seed ${SEED}: ${differences(small).join(', ')}\n` +
          describe(small, fast.run(small), reference.run(small), new Disassembler()),
      )
      return
    }
    t.pass()
  })
}
