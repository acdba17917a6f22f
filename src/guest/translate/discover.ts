/**
 * Units of translation: the body of a guest function as far as it lies in one page.
 *
 * Branches and jumps inside the page are followed, calls are not: the instruction behind a call is an entry, as are the
 * one behind an instruction that the tier below executes, and the heads of loops.
 *
 * R1 A unit depends on the bytes of its page alone: not on where the page is mapped, nor on the state of a hart.
 * R2 An instruction that runs into the next page belongs to no unit.
 * R3 Instructions may overlap: a block goes from its first instruction on by their lengths, wherever others begin.
 */
import type { Decoded } from '../isa/index.ts'
import { Kind, type Survey, type Surveys } from './survey.ts'

const PAGE = 4096
const HALVES: number = PAGE / 2
/** Instructions in a unit at most, so that translating one takes little time. */
export const UNIT_LIMIT = 400

export interface Instruction {
  /** In the page, in bytes. */
  readonly offset: number
  readonly decoded: Decoded
  readonly survey: Survey
}

/** Instructions that are executed one after the other; only the last may transfer control. */
export interface Block {
  readonly offset: number
  readonly instructions: readonly Instruction[]
  /** Offset behind the last instruction. */
  readonly end: number
  /** Indexes of blocks that it may go on with. Offsets that are no block of the unit leave it. */
  readonly successors: readonly number[]
}

export interface Unit {
  readonly blocks: readonly Block[]
  /** Index of the block at an offset, -1 for none. */
  readonly blockAt: Int16Array
  /** Indexes of the blocks where it can be entered; the first is the one that was asked for. */
  readonly entries: readonly number[]
  /** Instructions in all blocks. */
  readonly length: number
}

/** What decodes: the word is 16 or 32 bits, as `isShort` says. */
export interface Decodes {
  short(half: number): Decoded
  long(word: number): Decoded
}

const LEADER = 1
const ENTRY = 2

export class Discovery {
  static readonly opaque = true
  private readonly decodes: Decodes
  private readonly surveys: Surveys
  private readonly flags = new Uint8Array(HALVES)
  private readonly found: (Instruction | null)[] = Array.from({ length: HALVES }, () => null)
  private readonly work: number[] = []
  private bytes: Uint8Array = new Uint8Array(0)
  private base = 0
  private count = 0

  constructor(decodes: Decodes, surveys: Surveys) {
    this.decodes = decodes
    this.surveys = surveys
  }

  /**
   * The unit that begins at `offset` of the page at `base` in `bytes`.
   * @param alsoEntries offsets that shall be entries if the unit reaches them
   * @returns null if nothing there can be translated
   */
  discover(bytes: Uint8Array, base: number, offset: number, alsoEntries: readonly number[] = []): Unit | null {
    this.bytes = bytes
    this.base = base
    this.count = 0
    this.flags.fill(0)
    this.found.fill(null)
    this.lead(offset, LEADER | ENTRY)
    for (let next = this.work.pop(); next !== undefined; next = this.work.pop()) this.follow(next)
    for (const also of alsoEntries) {
      if (this.found[also >> 1] !== null) this.flags[also >> 1] = (this.flags[also >> 1] as number) | LEADER | ENTRY
    }
    return this.count === 0 ? null : this.build(offset)
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
        const call = kind === Kind.JUMP && decoded.rd !== 0
        if (!call && target >= 0 && target < PAGE) this.lead(target, LEADER)
      }
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

  private build(first: number): Unit {
    const blockAt = new Int16Array(HALVES).fill(-1)
    const offsets: number[] = []
    for (let at = 0; at < HALVES; at++) {
      if (this.found[at] === null || ((this.flags[at] as number) & LEADER) === 0) continue
      blockAt[at] = offsets.length
      offsets.push(at * 2)
    }
    const blocks = offsets.map((offset) => this.block(offset, blockAt))
    const entries = [blockAt[first >> 1] as number]
    const isEntry = new Uint8Array(blocks.length)
    markLoopHeads(blocks, entries[0] as number, isEntry)
    for (const [index, { offset }] of blocks.entries()) {
      if (index === entries[0]) continue
      if (isEntry[index] !== 0 || ((this.flags[offset >> 1] as number) & ENTRY) !== 0) entries.push(index)
    }
    const length = blocks.reduce((sum, block) => sum + block.instructions.length, 0)
    return { blocks, blockAt, entries, length }
  }

  private block(start: number, blockAt: Int16Array): Block {
    const instructions: Instruction[] = []
    const successors: number[] = []
    const edge = (offset: number): void => {
      const to = offset >= 0 && offset < PAGE ? (blockAt[offset >> 1] as number) : -1
      if (to >= 0 && !successors.includes(to)) successors.push(to)
    }
    let offset = start
    for (;;) {
      const instruction = offset < PAGE ? (this.found[offset >> 1] as Instruction | null) : null
      if (instruction === null) break
      instructions.push(instruction)
      const { decoded, survey } = instruction
      const next = offset + decoded.length
      if (survey.kind === Kind.BRANCH || (survey.kind === Kind.JUMP && decoded.rd === 0)) edge(offset + decoded.imm)
      if (survey.kind === Kind.BRANCH) edge(next)
      offset = next
      if (survey.kind >= Kind.BRANCH) break
      if (next < PAGE && (blockAt[next >> 1] as number) >= 0) {
        edge(next)
        break
      }
    }
    return { offset: start, instructions, end: offset, successors }
  }
}

/** Marks what a depth-first search from `root` comes back to. */
function markLoopHeads(blocks: readonly Block[], root: number, heads: Uint8Array): void {
  const OPEN = 1
  const DONE = 2
  const state = new Uint8Array(blocks.length)
  const path: number[] = []
  const places: number[] = []
  for (let from = -1; from < blocks.length; from++) {
    const start = from < 0 ? root : from
    if (state[start] !== 0) continue
    path.push(start)
    places.push(0)
    state[start] = OPEN
    while (path.length > 0) {
      const node = path[path.length - 1] as number
      const place = places[places.length - 1] as number
      const next = (blocks[node] as Block).successors[place]
      if (next === undefined) {
        state[node] = DONE
        path.pop()
        places.pop()
        continue
      }
      places[places.length - 1] = place + 1
      if (state[next] === OPEN) heads[next] = 1
      else if (state[next] === 0) {
        state[next] = OPEN
        path.push(next)
        places.push(0)
      }
    }
  }
}
