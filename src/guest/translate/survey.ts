/**
 * What an instruction is for control flow and for registers, found by asking its row.
 *
 * R1 Nothing here lists instructions: the semantics are run over an emitter that notes what they call.
 */
import { NoteTaker } from '../isa/index.ts'
import type { Semantics } from '../isa/index.ts'

export const Kind = {
  /** Goes on behind it, and cannot trap. */
  PLAIN: 0,
  /** As PLAIN, but may miss or trap. */
  LOAD: 1,
  STORE: 2,
  BRANCH: 3,
  /** To pc + imm. */
  JUMP: 4,
  /** To a computed address. */
  INDIRECT: 5,
  /** For the tier below. Goes on behind it, as a rule. */
  STEP: 6,
  /** For the tier below; what stands behind it is not reached from it. */
  LAST: 7,
} as const
export type KindCode = (typeof Kind)[keyof typeof Kind]

export interface Survey {
  readonly kind: KindCode
  readonly readsRs1: boolean
  readonly readsRs2: boolean
  readonly writesRd: boolean
}

class Surveyor extends NoteTaker {
  kind: KindCode = Kind.PLAIN
  readsRs1 = false
  readsRs2 = false
  writesRd = false

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
  /** Floating point comes in stretches: leaving the unit for each instruction would cost more than it saves. */
  override floatLoad(): void {
    this.kind = Kind.LAST
  }
  override floatStore(): void {
    this.kind = Kind.LAST
  }
  override float(): void {
    this.kind = Kind.LAST
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
    const { kind, readsRs1, readsRs2, writesRd } = surveyor
    const survey = { kind, readsRs1, readsRs2, writesRd }
    this.known.set(semantics, survey)
    return survey
  }
}
