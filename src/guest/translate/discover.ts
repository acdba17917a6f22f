/**
 * What belongs to a unit: the body of a guest function as far as it lies in one page, and functions that it calls there.
 *
 * Branches and jumps inside the page are followed; calls, and jumps to computed addresses, to places that are warm. The
 * instruction behind a call is an entry, as are the one behind an instruction that the tier below executes, and the heads of
 * loops.
 *
 * R1 A unit is a reading of the bytes of its page, wherever the page is mapped and whatever the state of a hart. What is warm
 *    decides how much is read.
 * R2 An instruction that runs into the next page belongs to no unit.
 */
import type { Decoded } from '../isa/index.ts'
import { Kind, type Surveys } from './survey.ts'
import { ASKED, ENTRY, LEADER, buildUnit, isReturn, type Instruction, type Unit } from './unit.ts'

const PAGE = 4096
const HALVES: number = PAGE / 2
/** Instructions in a unit at most, so that translating one takes little time. */
export const UNIT_LIMIT = 400
/** Instructions in a unit beyond which no further function that it calls is added. */
const CALL_LIMIT = 250
/** Targets of computed jumps at most, and how far before the first and behind the last instruction they may lie, in halves. */
const MAX_TARGETS = 24
const NEAR = 16

/** Flag of an offset besides those of units: a branch goes there. */
const TARGET = 8

/** What decodes: the word is 16 or 32 bits, as `isShort` says. */
export interface Decodes {
  short(half: number): Decoded
  long(word: number): Decoded
}

export class Discovery {
  static readonly opaque = true
  private readonly decodes: Decodes
  private readonly surveys: Surveys
  private readonly flags = new Uint8Array(HALVES)
  private readonly found: (Instruction | null)[] = Array.from({ length: HALVES }, () => null)
  private readonly work: number[] = []
  /** Targets of calls, and whether there are jumps to computed addresses. */
  private calls: number[] = []
  private jumps = false
  private bytes: Uint8Array = new Uint8Array(0)
  private base = 0
  private count = 0

  constructor(decodes: Decodes, surveys: Surveys) {
    this.decodes = decodes
    this.surveys = surveys
  }

  /**
   * The unit that begins at `offset` of the page at `base` in `bytes`.
   * @param isWarm whether an offset of the page has been jumped to often
   * @param alsoEntries offsets that shall be entries if the unit reaches them without a call
   * @returns null if nothing there can be translated
   */
  discover(
    bytes: Uint8Array,
    base: number,
    offset: number,
    isWarm: (offset: number) => boolean,
    alsoEntries: readonly number[] = [],
  ): Unit | null {
    this.bytes = bytes
    this.base = base
    this.count = 0
    this.flags.fill(0)
    this.found.fill(null)
    this.calls = []
    this.jumps = false
    this.lead(offset, LEADER | ASKED)
    this.followAll()
    const targets = this.jumps ? this.followJumps(isWarm) : []
    for (const also of alsoEntries) {
      if (this.found[also >> 1] !== null) this.flags[also >> 1] = (this.flags[also >> 1] as number) | LEADER | ASKED
    }
    for (let next = this.calls.pop(); next !== undefined; next = this.calls.pop()) {
      if (this.count > CALL_LIMIT || !isWarm(next)) continue
      this.lead(next, LEADER)
      this.followAll()
    }
    if (this.count === 0) return null
    return buildUnit(this.found, this.flags, offset, targets)
  }

  private followAll(): void {
    for (let next = this.work.pop(); next !== undefined; next = this.work.pop()) this.follow(next)
  }

  /** Where jumps to computed addresses seem to lead: warm places among and around the instructions so far that nothing else leads to. */
  private followJumps(isWarm: (offset: number) => boolean): readonly number[] {
    const { flags, found } = this
    const targets: number[] = []
    for (let known = -1; known < targets.length;) {
      known = targets.length
      const first = Math.max(0, found.findIndex((instruction) => instruction !== null) - NEAR)
      const last = Math.min(HALVES, found.findLastIndex((instruction) => instruction !== null) + NEAR)
      for (let at = first; at < last && targets.length < MAX_TARGETS; at++) {
        if (((flags[at] as number) & (TARGET | ENTRY | ASKED)) !== 0 || !isWarm(at * 2)) continue
        targets.push(at * 2)
        this.lead(at * 2, LEADER | TARGET)
      }
      this.followAll()
    }
    return targets
  }

  private lead(offset: number, flags: number): void {
    this.flags[offset >> 1] = (this.flags[offset >> 1] as number) | flags
    this.work.push(offset)
  }

  /** Decodes from `offset` on until control goes elsewhere. */
  private follow(start: number): void {
    let offset = start
    while (offset < PAGE) {
      const at = offset >> 1
      if (this.found[at] !== null) {
        this.flags[at] = (this.flags[at] as number) | LEADER
        return
      }
      const decoded = this.decodeAt(offset)
      if (decoded === null || this.count === UNIT_LIMIT) return
      const survey = this.surveys.of(decoded.semantics)
      const { kind } = survey
      const next = offset + decoded.length
      if (kind === Kind.STEP || kind === Kind.LAST) {
        if (kind === Kind.STEP && next < PAGE && this.count > 0) this.lead(next, LEADER | ENTRY)
        return
      }
      this.found[at] = { offset, decoded, survey }
      this.count++
      if (kind === Kind.BRANCH || kind === Kind.JUMP) {
        const target = offset + decoded.imm
        if (target >= 0 && target < PAGE) {
          if (kind === Kind.JUMP && decoded.rd !== 0) this.calls.push(target)
          else this.lead(target, LEADER | TARGET)
        }
      }
      if (kind === Kind.INDIRECT && decoded.rd === 0 && !isReturn(decoded)) this.jumps = true
      if (kind >= Kind.BRANCH) {
        if (next >= PAGE || (kind !== Kind.BRANCH && decoded.rd === 0)) return
        this.flags[next >> 1] = (this.flags[next >> 1] as number) | LEADER | (kind === Kind.BRANCH ? 0 : ENTRY)
      }
      offset = next
    }
  }

  private decodeAt(offset: number): Decoded | null {
    const at = this.base + offset
    const half = this.half(at)
    if ((half & 3) !== 3) return this.decodes.short(half)
    return offset + 4 > PAGE ? null : this.decodes.long(half | (this.half(at + 2) << 16))
  }

  private half(at: number): number {
    return (this.bytes[at] as number) | ((this.bytes[at + 1] as number) << 8)
  }
}
