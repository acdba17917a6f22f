/**
 * What an instruction is for control flow and for registers, found by asking its row.
 *
 * R1 Nothing here lists instructions: the semantics are run over an emitter that notes what they call.
 */
import type { Emitter, Semantics } from '../isa/index.ts'

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

class Surveyor implements Emitter<void, void> {
  kind: KindCode = Kind.PLAIN
  readsRs1 = false
  readsRs2 = false
  writesRd = false

  rs1(): void {
    this.readsRs1 = true
  }
  rs2(): void {
    this.readsRs2 = true
  }
  rd(): void {
    this.writesRd = true
  }
  branch(): void {
    this.kind = Kind.BRANCH
  }
  jump(): void {
    this.kind = this.readsRs1 ? Kind.INDIRECT : Kind.JUMP
  }
  load(): void {
    this.kind = Kind.LOAD
    this.readsRs1 = true
    this.writesRd = true
  }
  store(): void {
    this.kind = Kind.STORE
    this.readsRs1 = true
    this.readsRs2 = true
  }
  loadReserved(): void {
    this.kind = Kind.STEP
  }
  storeConditional(): void {
    this.kind = Kind.STEP
  }
  amo(): void {
    this.kind = Kind.STEP
  }
  /** Floating point comes in stretches: leaving the unit for each instruction would cost more than it saves. */
  floatLoad(): void {
    this.kind = Kind.LAST
  }
  floatStore(): void {
    this.kind = Kind.LAST
  }
  float(): void {
    this.kind = Kind.LAST
  }
  csr(): void {
    this.kind = Kind.STEP
  }
  fenceI(): void {
    this.kind = Kind.STEP
  }
  sfenceVma(): void {
    this.kind = Kind.STEP
  }
  ecall(): void {
    this.kind = Kind.STEP
  }
  ebreak(): void {
    this.kind = Kind.STEP
  }
  wfi(): void {
    this.kind = Kind.STEP
  }
  sret(): void {
    this.kind = Kind.LAST
  }
  illegal(): void {
    this.kind = Kind.LAST
  }

  // What changes nothing about the kind.
  imm(): void {}
  uimm(): void {}
  pc(): void {}
  nextPc(): void {}
  constant(): void {}
  add(): void {}
  sub(): void {}
  and(): void {}
  or(): void {}
  xor(): void {}
  shiftLeft(): void {}
  shiftRight(): void {}
  shiftRightSigned(): void {}
  mul(): void {}
  mulHigh(): void {}
  mulHighUnsigned(): void {}
  mulHighSignedUnsigned(): void {}
  div(): void {}
  divUnsigned(): void {}
  rem(): void {}
  remUnsigned(): void {}
  signExtend32(): void {}
  zeroExtend32(): void {}
  equal(): void {}
  notEqual(): void {}
  less(): void {}
  lessUnsigned(): void {}
  greaterEqual(): void {}
  greaterEqualUnsigned(): void {}
  truth(): void {}
  fence(): void {}
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
