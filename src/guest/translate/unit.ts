/**
 * A unit of translation as a graph of blocks.
 *
 * R1 Instructions may overlap: a block goes from its first instruction on by their lengths, wherever others begin.
 * R2 Edges are what may happen inside the unit. Whatever else happens leaves it: a return to a place that is not behind a
 *    call in the unit, a computed jump to an address that is not expected.
 */
import type { Decoded } from '../isa/index.ts'
import { Kind, type Survey } from './survey.ts'

const PAGE = 4096
const HALVES: number = PAGE / 2
/** Flags of an offset: a block begins there; the unit can be entered there; that is all the reason for it to be an entry. */
export const LEADER = 1
export const ENTRY = 2
export const ASKED = 4

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
  /** Indexes of blocks that it may go on with; behind a computed jump, of those that it is expected to lead to. */
  readonly successors: readonly number[]
}

export interface Unit {
  readonly blocks: readonly Block[]
  /** Index of the block at an offset, -1 for none. */
  readonly blockAt: Int16Array
  /** Indexes of the blocks where it can be entered; the first is the one that was asked for. */
  readonly entries: readonly number[]
  /** Those that are heads of loops and reached, in the unit, by branches alone. */
  readonly loops: readonly number[]
  /** Instructions in all blocks. */
  readonly length: number
}

/** The registers in which calls leave the address to return to. */
const isLink = (register: number): boolean => register === 1 || register === 5

/** An indirect jump that, as a rule, ends a function. */
export const isReturn = (decoded: Decoded): boolean => decoded.rd === 0 && isLink(decoded.rs1)

interface MutableBlock extends Block {
  successors: number[]
}

/**
 * @param found instructions by offset / 2
 * @param flags of offsets, by offset / 2
 * @param first offset where the unit is entered first
 * @param targets offsets that computed jumps are expected to lead to
 */
export function buildUnit(
  found: readonly (Instruction | null)[],
  flags: Uint8Array,
  first: number,
  targets: readonly number[],
): Unit {
  const blockAt = new Int16Array(HALVES).fill(-1)
  const offsets: number[] = []
  for (let at = 0; at < HALVES; at++) {
    if (found[at] === null || ((flags[at] as number) & LEADER) === 0) continue
    blockAt[at] = offsets.length
    offsets.push(at * 2)
  }
  const blocks = offsets.map((offset) => straight(found, offset, blockAt))
  const indexOf = (offset: number): number => (offset >= 0 && offset < PAGE ? (blockAt[offset >> 1] as number) : -1)
  const jumpTargets = targets.map(indexOf).filter((index) => index >= 0)
  for (const block of blocks) {
    for (const next of edgesOf(block, indexOf, jumpTargets)) {
      if (next >= 0 && !block.successors.includes(next)) block.successors.push(next)
    }
  }
  linkReturns(blocks, indexOf)
  const entries = [indexOf(first)]
  const isEntry = new Uint8Array(blocks.length)
  markLoopHeads(blocks, entries[0] as number, isEntry)
  for (const [index, { offset }] of blocks.entries()) {
    if (index === entries[0]) continue
    if (isEntry[index] !== 0 || ((flags[offset >> 1] as number) & (ENTRY | ASKED)) !== 0) entries.push(index)
  }
  const isJoined = new Uint8Array(blocks.length)
  for (const { instructions, successors } of blocks) {
    const last = instructions.at(-1)
    if (last === undefined || last.survey.kind < Kind.JUMP || isPlainJump(last)) continue
    for (const next of successors) isJoined[next] = 1
  }
  const flagsOf = (index: number): number => flags[(blocks[index] as Block).offset >> 1] as number
  const loops = entries.filter(
    (index) => isEntry[index] !== 0 && isJoined[index] === 0 && (flagsOf(index) & ENTRY) === 0,
  )
  const length = blocks.reduce((sum, block) => sum + block.instructions.length, 0)
  return { blocks, blockAt, entries, loops, length }
}

const isPlainJump = ({ survey, decoded }: Instruction): boolean => survey.kind === Kind.JUMP && decoded.rd === 0

/** The block at an offset, without edges. */
function straight(found: readonly (Instruction | null)[], start: number, blockAt: Int16Array): MutableBlock {
  const instructions: Instruction[] = []
  let offset = start
  while (offset < PAGE) {
    const instruction = found[offset >> 1] as Instruction | null
    if (instruction === null) break
    instructions.push(instruction)
    offset += instruction.decoded.length
    if (instruction.survey.kind >= Kind.BRANCH) break
    if (offset < PAGE && (blockAt[offset >> 1] as number) >= 0) break
  }
  return { offset: start, instructions, end: offset, successors: [] }
}

/** Blocks, or -1, that a block may go on with, except for returns. */
function edgesOf(block: Block, indexOf: (offset: number) => number, jumpTargets: readonly number[]): readonly number[] {
  const last = block.instructions.at(-1)
  if (last === undefined) return []
  const { decoded, survey, offset } = last
  switch (survey.kind) {
    case Kind.BRANCH:
      return [indexOf(offset + decoded.imm), indexOf(block.end)]
    case Kind.JUMP:
      return [indexOf(offset + decoded.imm)]
    case Kind.INDIRECT:
      return decoded.rd === 0 && !isReturn(decoded) ? jumpTargets : []
    default:
      return [indexOf(block.end)]
  }
}

/** Edges from the returns of each function that is called in the unit to the places behind its calls. */
function linkReturns(blocks: readonly MutableBlock[], indexOf: (offset: number) => number): void {
  const sites = new Map<number, number[]>()
  for (const block of blocks) {
    const call = callOf(block)
    if (call === null || !isLink(call.decoded.rd)) continue
    const callee = indexOf(call.offset + call.decoded.imm)
    const site = indexOf(block.end)
    if (callee < 0 || site < 0) continue
    sites.set(callee, [...(sites.get(callee) ?? []), site])
  }
  const returns = [...sites].map(([callee, behind]) => ({ from: returnsOf(callee, blocks, indexOf), behind }))
  for (const { from, behind } of returns) {
    for (const block of from)
      for (const site of behind) if (!block.successors.includes(site)) block.successors.push(site)
  }
}

/** The jump at a block's end if it leaves an address to return to. */
function callOf(block: Block): Instruction | null {
  const last = block.instructions.at(-1)
  return last?.survey.kind === Kind.JUMP && last.decoded.rd !== 0 ? last : null
}

/** Blocks of a function that end with a return. */
function returnsOf(
  callee: number,
  blocks: readonly MutableBlock[],
  indexOf: (offset: number) => number,
): readonly MutableBlock[] {
  const seen = new Set([callee])
  const returns: MutableBlock[] = []
  for (const index of seen) {
    const block = blocks[index] as MutableBlock
    const last = block.instructions.at(-1)
    if (last?.survey.kind === Kind.INDIRECT && isReturn(last.decoded)) returns.push(block)
    const isCall = last !== undefined && last.survey.kind >= Kind.JUMP && last.decoded.rd !== 0
    for (const next of isCall ? [indexOf(block.end)] : block.successors) if (next >= 0) seen.add(next)
  }
  return returns
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
