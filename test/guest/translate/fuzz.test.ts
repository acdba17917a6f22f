/** Random programs end in the same state on the translator as on the reference interpreter. */
import test from 'ava'
import { randomCalls } from './random-calls.ts'
import { randomFloatProgram } from './random-float.ts'
import { outcomeOf, randomProgram } from './random-guest.ts'

const LONG = process.env['UMBRA_LONG'] === '1'
const GIVEN = process.env['UMBRA_FUZZ']
const FIRST = Number(process.env['UMBRA_SEED'] ?? 1)

/** Jumps to a place until it is translated: at once, or after its page had records for a while. */
const THRESHOLDS = [1, 2, 3, 8, 20, 40, 10_000]

for (const [kind, make, count] of [
  ['random', randomProgram, LONG ? 250 : 7],
  ['calling', randomCalls, LONG ? 80 : 6],
  ['floating-point', randomFloatProgram, LONG ? 40 : 3],
] as const) {
  test(`${kind} programs run alike on the translator and the reference interpreter`, async (t) => {
    t.timeout(3_600_000)
    const end = FIRST + Number(GIVEN ?? count)
    for (let seed = FIRST; seed < end; seed++) {
      const program = make(seed)
      const reference = await outcomeOf(program, { engine: 'reference' })
      const threshold = THRESHOLDS[seed % THRESHOLDS.length]!
      const translated = await outcomeOf(program, { engine: 'translator', threshold })
      t.deepEqual(translated, reference, `seed ${seed}`)
    }
  })
}
