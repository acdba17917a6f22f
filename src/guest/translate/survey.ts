/**
 * What an instruction is for control flow and for registers, found by asking its row.
 *
 * R1 Nothing here lists instructions: the semantics are run over an emitter that notes what they call.
 */
import { FLOAT_OPERATIONS, NoteTaker } from '../isa/index.ts'
import type { FloatFormat, FloatOperation, Semantics } from '../isa/index.ts'

export const Kind = {
  /** Goes on behind it, and cannot trap. */
  PLAIN: 0,
  /** As PLAIN, but may miss or trap. */
  LOAD: 1,
  STORE: 2,
  /** As PLAIN, but the interpreter may have to do it. */
  FLOAT: 3,
  BRANCH: 4,
  /** To pc + imm. */
  JUMP: 5,
  /** To a computed address. */
  INDIRECT: 6,
  /** For the tier below. Goes on behind it, as a rule. */
  STEP: 7,
  /** For the tier below; what stands behind it is not reached from it. */
  LAST: 8,
} as const
export type KindCode = (typeof Kind)[keyof typeof Kind]

/** What is done with floating-point registers. */
export interface FloatSurvey {
  /** Null for loads and stores. */
  readonly operation: FloatOperation | null
  readonly reads: readonly ('rs1' | 'rs2' | 'rs3')[]
  readonly readFormat: FloatFormat
  /** The format of what is written to frd, null for nothing. */
  readonly writes: FloatFormat | null
}

export interface Survey {
  readonly kind: KindCode
  readonly readsRs1: boolean
  readonly readsRs2: boolean
  readonly writesRd: boolean
  /** Null for what has to do with integers only; the fields above are about integer registers. */
  readonly float: FloatSurvey | null
}

const SOURCES = ['rs1', 'rs2', 'rs3'] as const
const OTHER = { s: 'd', d: 's' } as const
const formatOf = (size: 4 | 8): FloatFormat => (size === 4 ? 's' : 'd')

class Surveyor extends NoteTaker {
  kind: KindCode = Kind.PLAIN
  readsRs1 = false
  readsRs2 = false
  writesRd = false
  floats: FloatSurvey | null = null

  override rs1(): void {
    this.readsRs1 = true
  }
  override rs2(): void {
    this.readsRs2 = true
  }
  override rd(): void {
    this.writesRd = true
  }
  override branch(): void {
    this.kind = Kind.BRANCH
  }
  override jump(): void {
    this.kind = this.readsRs1 ? Kind.INDIRECT : Kind.JUMP
  }
  override load(): void {
    this.kind = Kind.LOAD
    this.readsRs1 = true
    this.writesRd = true
  }
  override store(): void {
    this.kind = Kind.STORE
    this.readsRs1 = true
    this.readsRs2 = true
  }
  override loadReserved(): void {
    this.kind = Kind.STEP
  }
  override storeConditional(): void {
    this.kind = Kind.STEP
  }
  override amo(): void {
    this.kind = Kind.STORE
    this.readsRs1 = true
    this.readsRs2 = true
    this.writesRd = true
  }
  override floatLoad(size: 4 | 8): void {
    this.kind = Kind.LOAD
    this.readsRs1 = true
    this.floats = { operation: null, reads: [], readFormat: 'd', writes: formatOf(size) }
  }
  override floatStore(size: 4 | 8): void {
    this.kind = Kind.STORE
    this.readsRs1 = true
    this.floats = { operation: null, reads: ['rs2'], readFormat: formatOf(size), writes: null }
  }
  override float(operation: FloatOperation, format: FloatFormat): void {
    const { sources, toInteger } = FLOAT_OPERATIONS[operation]
    const readFormat = operation === 'convert' ? OTHER[format] : format
    this.kind = Kind.FLOAT
    this.readsRs1 = sources === 0
    this.writesRd = toInteger
    this.floats = { operation, reads: SOURCES.slice(0, sources), readFormat, writes: toInteger ? null : format }
  }
  override csr(): void {
    this.kind = Kind.STEP
  }
  override fenceI(): void {
    this.kind = Kind.STEP
  }
  override sfenceVma(): void {
    this.kind = Kind.STEP
  }
  override ecall(): void {
    this.kind = Kind.STEP
  }
  override ebreak(): void {
    this.kind = Kind.STEP
  }
  override wfi(): void {
    this.kind = Kind.STEP
  }
  override sret(): void {
    this.kind = Kind.LAST
  }
  override illegal(): void {
    this.kind = Kind.LAST
  }
}

/** Surveys by semantics, which few rows share. */
export class Surveys {
  static readonly opaque = true
  private readonly known = new Map<Semantics, Survey>()

  of(semantics: Semantics): Survey {
    const known = this.known.get(semantics)
    if (known !== undefined) return known
    const surveyor = new Surveyor()
    semantics(surveyor)
    const { kind, readsRs1, readsRs2, writesRd, floats } = surveyor
    const survey = { kind, readsRs1, readsRs2, writesRd, float: floats }
    this.known.set(semantics, survey)
    return survey
  }
}
