/** Random programs end in the same state on the translator as on the reference interpreter. */
import test from 'ava'
import { randomFloatProgram } from './random-float.ts'
import { outcomeOf, randomProgram } from './random-guest.ts'

const SEEDS = Number(process.env['UMBRA_FUZZ'] ?? (process.env['UMBRA_LONG'] === '1' ? 250 : 12))
const FIRST = Number(process.env['UMBRA_SEED'] ?? 1)

/** Jumps to a place until it is translated: at once, or after its page had records for a while. */
const THRESHOLDS = [1, 2, 3, 8, 20, 10_000]

for (const [kind, make, share] of [
  ['random', randomProgram, 1],
  ['floating-point', randomFloatProgram, 0.5],
] as const) {
  test(`${kind} programs run alike on the translator and the reference interpreter`, async (t) => {
    t.timeout(3_600_000)
    for (let seed = FIRST; seed < FIRST + SEEDS * share; seed++) {
      const program = make(seed)
      const reference = await outcomeOf(program, { engine: 'reference' })
      const threshold = THRESHOLDS[seed % THRESHOLDS.length]!
      const translated = await outcomeOf(program, { engine: 'translator', threshold })
      t.deepEqual(translated, reference, `seed ${seed}`)
    }
  })
}
