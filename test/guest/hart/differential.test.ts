/** The engines agree with QEMU on random programs over every row of the table. */
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
  isShort,
  type Row,
  ROWS,
} from '../../../src/guest/index.ts'
import { template } from './differential/arena.ts'
import { interpreterSide, translatorSide } from './differential/cached-memory.ts'
import type { Case, Outcome } from './differential/case.ts'
import { compare, describe, fieldOf, shrink } from './differential/compare.ts'
import { fuzzCase, randomWords } from './differential/fuzz.ts'
import { Generator } from './differential/generate.ts'
import { OurSide } from './differential/ours.ts'
import { qemuMissing } from './differential/qemu-machine.ts'
import { runInQemu } from './differential/qemu.ts'

const LONG = process.env['UMBRA_LONG'] === '1'
const COUNT = Number(process.env['UMBRA_COUNT'] ?? (LONG ? 10_000 : 1000))
const SEED = Number(process.env['UMBRA_SEED'] ?? 1)
const BATCH = 20_000
/** Of the short words, one in so many is a program by itself; all are if a count is asked for. */
const STRIDE = process.env['UMBRA_COUNT'] === undefined ? 8 : 1

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

/**
 * Notes fetches of S-mode from a page of U-mode while SUM is set. A load from such a page lets QEMU 7.2 execute there: its
 * TLB entry takes X from the PTE whatever the access was. SUM never makes such a page executable (12.1.1.2).
 */
class UserFetches {
  seen = false

  readonly engine = (hart: Hart): Engine => {
    const engine = new Interpreter(hart)
    const step = (): ExitReason => {
      const reason = engine.run(1)
      if (hart.readCsr(CSR_ADDRESS.scause) === FETCH_PAGE_FAULT) {
        const sstatus = hart.readCsr(CSR_ADDRESS.sstatus) ?? 0n
        this.seen ||= (sstatus & SUM) !== 0n && (sstatus & SPP) !== 0n
      }
      return reason
    }
    const run = (budget: number): ExitReason => {
      let reason: ExitReason = Exit.INTR
      for (let left = budget; left > 0 && reason === Exit.INTR; left--) reason = step()
      return reason
    }
    return { hart, run, fenceI: () => engine.fenceI() }
  }
}

const FETCH_PAGE_FAULT = 12n
const SPP = 0x100n
const SUM = 0x40000n

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

/** The engines that are compared with QEMU. */
const SIDES: Readonly<Record<string, (memory: Uint8Array) => OurSide>> = {
  reference: (memory) => new OurSide(memory),
  interpreter: (memory) => interpreterSide(memory),
  translator: (memory) => translatorSide(memory),
  'translator that translates at once': (memory) => translatorSide(memory, 1),
}

/** Runs cases on every engine and under QEMU; the first that differs is shrunk and described. */
function difference(cases: readonly Case[]): string | undefined {
  const memory = template(() => new Random(SEED).next32())
  const sides = Object.entries(SIDES).map(([name, make]) => [name, make(memory)] as const)
  const disassembler = new Disassembler()
  for (let from = 0; from < cases.length; from += BATCH) {
    const batch = cases.slice(from, from + BATCH)
    const theirs = runInQemu(memory, batch)
    for (const [name, ours] of sides) {
      for (const [n, c] of batch.entries()) {
        const fields = new Set(compare(ours.run(c), theirs[n] as Outcome).map(fieldOf))
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
        return `case ${from + n} of seed ${SEED} differs on engine ${name}:\n${text}`
      }
    }
  }
  return undefined
}

oracle(`${COUNT} random programs end in the same state as under QEMU`, (t) => {
  const generator = new Generator(SEED)
  const cases = Array.from({ length: COUNT }, (_, n) => generator.next(ROWS[n % ROWS.length] as Row))
  t.is(difference(cases), undefined)
})

oracle('programs of random words do the same as under QEMU, be they instructions or not', (t) => {
  const random = new Random(SEED)
  const generator = new Generator(SEED)
  const cases = Array.from({ length: COUNT / 2 }, () => fuzzCase(random, generator, randomWords(random)))
  // Short words by themselves.
  const shorts = Array.from({ length: LONG ? 65536 : 0 }, (_, word) => word).filter(isShort)
  for (const [n, word] of shorts.entries()) {
    if ((n + SEED) % STRIDE === 0) cases.push(fuzzCase(random, generator, [word]))
  }
  // Few run for ever, and those cost QEMU half a second each.
  const fetches = new UserFetches()
  const ours = new OurSide(
    template(() => new Random(SEED).next32()),
    fetches.engine,
  )
  const ending = cases.filter((c) => {
    fetches.seen = false
    return !ours.run(c).endless && !fetches.seen
  })
  t.true(ending.length > cases.length * 0.97, `${cases.length - ending.length} of ${cases.length} cases are left out`)
  t.is(difference(ending), undefined)
})
