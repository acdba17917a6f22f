/** Programs of random words, legal or not, for the decoder and for every operand that an encoding has. */
import type { Random } from '../../../../src/base/index.ts'
import { CSR_ADDRESS, type Decoded, Decoder, isShort, ROWS } from '../../../../src/guest/index.ts'
import type { Case } from './case.ts'
import { Generator } from './generate.ts'
import { kindOf } from './kinds.ts'

/** CSRs that QEMU 7.2 implements more of, or whose values are its own. */
const DIFFERENT: readonly number[] = [
  CSR_ADDRESS.sstatus,
  CSR_ADDRESS.scounteren,
  CSR_ADDRESS.senvcfg,
  CSR_ADDRESS.sepc,
  CSR_ADDRESS.cycle,
  CSR_ADDRESS.time,
  CSR_ADDRESS.instret,
]
const FS = 0x6000n
const decoder = new Decoder()

/** Whether both sides can be expected to do the same with an instruction alone, whatever the registers hold. */
function comparable({ row, imm }: Decoded): boolean {
  const { atomic, csr, system } = kindOf(row)
  // QEMU 7.2 has it wrong for some operands.
  if (row.name === 'ctzw') return false
  // A lone sc faults or not, wfi waits, and sret may go back to where the handler went on.
  if (atomic === 'sc' || system === 'wfi' || system === 'sret') return false
  return csr === undefined || !DIFFERENT.includes(imm)
}

/** All bits random; or those that a row leaves open, and now and then one that it does not. */
export function randomWord(random: Random): number {
  const choice = random.below(8)
  if (choice < 3) return (random.next32() | 3) >>> 0
  if (choice < 4) {
    const half = random.below(65536)
    return isShort(half) ? half : (half & ~3) | random.below(3)
  }
  const row = random.pick(ROWS)
  const bits = row.length === 2 ? 16 : 32
  let word = row.match | (random.next32() & ~row.mask & (bits === 16 ? 0xffff : -1))
  if (random.oneIn(4)) word ^= 1 << random.below(bits)
  const length = isShort(word) ? 2 : 4
  return length === row.length ? word >>> 0 : row.match >>> 0
}

/** The state of one of the generator's cases, with other words in its program. */
export function fuzzCase(random: Random, generator: Generator, words: readonly number[]): Case {
  const like = generator.next(random.pick(ROWS))
  const program = words.filter((word) => comparable(decoder.decode(word)))
  // FS Off or Dirty: between them QEMU 7.2 forgets some flags.
  const { sstatus } = like.csrs
  const csrs = { ...like.csrs, sie: 0n, sip: 0n, sstatus: (sstatus & FS) === 0n ? sstatus : sstatus | FS }
  return { ...like, csrs, program }
}

/** One to three random words. */
export function randomWords(random: Random): number[] {
  return Array.from({ length: random.between(1, 3) }, () => randomWord(random))
}
