/** Random programs end in the same state on the translator as on the reference interpreter. */
import test from 'ava'
import { outcomeOf, randomProgram } from './random-guest.ts'

const SEEDS = Number(process.env['UMBRA_FUZZ'] ?? (process.env['UMBRA_LONG'] === '1' ? 250 : 12))

/** Jumps to a place until it is translated: at once, or after its page had records for a while. */
const THRESHOLDS = [1, 2, 3, 8, 20, 10_000]

test('random programs run alike on the translator and the reference interpreter', async (t) => {
  t.timeout(3_600_000)
  const first = Number(process.env['UMBRA_SEED'] ?? 1)
  for (let seed = first; seed < first + SEEDS; seed++) {
    const program = randomProgram(seed)
    const reference = await outcomeOf(program, { engine: 'reference' })
    const translated = await outcomeOf(program, {
      engine: 'translator',
      threshold: THRESHOLDS[seed % THRESHOLDS.length]!,
    })
    t.deepEqual(translated, reference, `seed ${seed}`)
  }
})
