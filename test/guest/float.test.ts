/** Floating point agrees with QEMU's soft-float and with the host's own arithmetic, results and flags, in every mode. */
import test from 'ava'
import { Random } from '../../src/base/index.ts'
import { Native, nativeMissing } from './float/native.ts'
import { translatorBench, wasmBench } from './float/fast.ts'
import { difference, makeRecords, referenceBench, runHere, runUnderQemu, segments } from './float/program.ts'
import { qemuMissing } from './hart/differential/qemu-machine.ts'

const LONG = process.env['UMBRA_LONG'] === '1'
/** Operations to compare in all. */
const COUNT = Number(process.env['UMBRA_COUNT'] ?? (LONG ? 200_000 : 5000))
const SEED = Number(process.env['UMBRA_SEED'] ?? 1)
const BATCH = 500_000
/** The engines that are compared. */
const BENCHES = { reference: referenceBench, interpreter: wasmBench, translator: translatorBench } as const

const missing = qemuMissing()
const oracle = missing === undefined ? test : test.skip
if (missing !== undefined) console.log(`floating point is not compared with QEMU: ${missing}`)

oracle(`${COUNT} operations have the results and flags that QEMU gives`, (t) => {
  for (let done = 0; done < COUNT; done += BATCH) {
    const random = new Random(SEED + done)
    const list = segments(random)
    const records = makeRecords(random, list, Math.ceil(Math.min(BATCH, COUNT - done) / list.length))
    const theirs = records.slice()
    runUnderQemu(list, theirs)
    for (const [name, bench] of Object.entries(BENCHES)) {
      const ours = records.slice()
      runHere(list, ours, bench)
      t.is(difference(list, ours, theirs), undefined, name)
    }
  }
})

const withoutNative = nativeMissing()
const native = withoutNative === undefined ? test : test.skip
if (withoutNative !== undefined) console.log(`floating point is not compared with the host's: ${withoutNative}`)

native(`${COUNT} operations have the results and flags of the host's own arithmetic`, (t) => {
  const host = new Native()
  try {
    for (let done = 0; done < COUNT; done += BATCH) {
      const random = new Random(SEED + done)
      const list = segments(random)
      const records = makeRecords(random, list, Math.ceil(Math.min(BATCH, COUNT - done) / list.length))
      runHere(list, records)
      const theirs = records.slice()
      t.true(host.answer(list, theirs) > records.length / 6 / 4)
      t.is(difference(list, records, theirs), undefined)
    }
  } finally {
    host.remove()
  }
})
