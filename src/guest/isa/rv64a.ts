/**
 * RV64A: load-reserved, store-conditional and atomic read-modify-write. RISC-V unprivileged specification 20240411, chapter 13.
 *
 * R1 Harts are interleaved instruction by instruction, so memory is sequentially consistent and aq and rl add nothing.
 */
import type { AmoOperation } from './emitter.ts'
import { AMO, LR } from './format.ts'
import { row, type Row } from './row.ts'

/** funct5 and funct3; for lr also the empty rs2. */
const MASK = 0xf800707f
const MASK_LR = 0xf9f0707f

const amo = (operation: AmoOperation, match: number): readonly Row[] => [
  row('A', `amo${operation}.w`, MASK, match | 0x2000, AMO, (e) => e.amo(4, operation), true),
  row('A', `amo${operation}.d`, MASK, match | 0x3000, AMO, (e) => e.amo(8, operation), true),
]

export const RV64A: readonly Row[] = [
  row('A', 'lr.w', MASK_LR, 0x1000202f, LR, (e) => e.loadReserved(4), true),
  row('A', 'lr.d', MASK_LR, 0x1000302f, LR, (e) => e.loadReserved(8), true),
  row('A', 'sc.w', MASK, 0x1800202f, AMO, (e) => e.storeConditional(4), true),
  row('A', 'sc.d', MASK, 0x1800302f, AMO, (e) => e.storeConditional(8), true),
  ...amo('swap', 0x0800002f),
  ...amo('add', 0x0000002f),
  ...amo('xor', 0x2000002f),
  ...amo('and', 0x6000002f),
  ...amo('or', 0x4000002f),
  ...amo('min', 0x8000002f),
  ...amo('max', 0xa000002f),
  ...amo('minu', 0xc000002f),
  ...amo('maxu', 0xe000002f),
]
