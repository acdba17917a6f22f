/**
 * Reverse maps: from a page of a memslot to the sptes that map it (arch/x86/kvm/mmu: kvm_rmap_head, 6.12).
 *
 * A page usually has one spte, stored in its head; more of them (aliases in guest page tables, several roots) make a
 * chain of nodes in a pool. All of it is numbers in typed arrays.
 *
 * R1 Removing and walking allocate nothing; adding allocates only when a 512-page chunk is first used or the pool is
 *    full. The notifier hooks only walk and remove.
 * R2 Finding the next mapped page costs what is mapped, not the length of the range: each chunk has a bitmap, and
 *    untouched chunks are skipped.
 * R3 An spte is removed exactly where it was added, or it is a KernelBug.
 */
import { KernelBug, hex } from '../base/index.ts'

/** Pages a chunk covers. */
const CHUNK_SHIFT = 9
const CHUNK_PAGES = 1 << CHUNK_SHIFT
const CHUNK_WORDS = CHUNK_PAGES / 32

/** Refers to one spte of a page while walking: 0 is the end, positive the only spte, negative a chain node. */
export type RmapRef = number

/** Chain nodes of all reverse maps of one VM. Protected by mmuLock. */
export class RmapPool {
  /** Word index of the spte (its address / 8). */
  spte: Int32Array = new Int32Array(64)
  /** Next node of the chain, or of the free list; 0 ends it. */
  next: Int32Array = new Int32Array(64)
  private free = 0
  private used = 1

  take(word: number, next: number): number {
    let node = this.free
    if (node !== 0) this.free = this.next[node]!
    else {
      if (this.used === this.spte.length) this.grow()
      node = this.used++
    }
    this.spte[node] = word
    this.next[node] = next
    return node
  }

  give(node: number): void {
    this.spte[node] = 0
    this.next[node] = this.free
    this.free = node
  }

  /** Bytes held. */
  get bytes(): number {
    return this.spte.byteLength + this.next.byteLength
  }

  private grow(): void {
    const spte = new Int32Array(this.spte.length * 2)
    spte.set(this.spte)
    const next = new Int32Array(spte.length)
    next.set(this.next)
    this.spte = spte
    this.next = next
  }
}

class Chunk {
  readonly heads: Int32Array = new Int32Array(CHUNK_PAGES)
  readonly occupied: Uint32Array = new Uint32Array(CHUNK_WORDS)
  count = 0
}

/** The reverse map of one slot at one page size. Protected by mmuLock. */
export class Rmap {
  private readonly pool: RmapPool
  private readonly chunks: (Chunk | null)[]
  /** Sptes in this map. */
  count = 0

  /** @param pages length of the slot in pages of this map's size */
  constructor(pool: RmapPool, pages: number) {
    this.pool = pool
    this.chunks = Array.from({ length: Math.ceil(pages / CHUNK_PAGES) }, () => null)
  }

  /**
   * Adds an spte.
   * @param index page number inside the slot
   * @param sptep address of the spte in bytes
   * @returns how many sptes the page has now
   */
  add(index: number, sptep: number): number {
    const word = sptep / 8
    const chunk = (this.chunks[index >>> CHUNK_SHIFT] ??= new Chunk())
    const at = index & (CHUNK_PAGES - 1)
    const head = chunk.heads[at]!
    this.count++
    chunk.count++
    if (head === 0) {
      chunk.heads[at] = word
      chunk.occupied[at >>> 5]! |= 1 << (at & 31)
      return 1
    }
    let chain = head > 0 ? this.pool.take(head, 0) : -head
    chain = this.pool.take(word, chain)
    chunk.heads[at] = -chain
    let length = 0
    for (let node = chain; node !== 0; node = this.pool.next[node]!) length++
    return length
  }

  /** @throws KernelBug when the spte is not there */
  remove(index: number, sptep: number): void {
    const word = sptep / 8
    const chunk = this.chunks[index >>> CHUNK_SHIFT] ?? null
    const at = index & (CHUNK_PAGES - 1)
    const head = chunk === null ? 0 : chunk.heads[at]!
    if (chunk === null || head === 0) throw missing(index, sptep)
    if (head > 0) {
      if (head !== word) throw missing(index, sptep)
      this.count--
      chunk.count--
      chunk.heads[at] = 0
      chunk.occupied[at >>> 5]! &= ~(1 << (at & 31))
      return
    }
    const { pool } = this
    let previous = 0
    let node = -head
    while (node !== 0 && pool.spte[node] !== word) {
      previous = node
      node = pool.next[node]!
    }
    if (node === 0) throw missing(index, sptep)
    this.count--
    chunk.count--
    const next = pool.next[node]!
    if (previous === 0) chunk.heads[at] = -next
    else pool.next[previous] = next
    pool.give(node)
    const chain = -chunk.heads[at]!
    if (pool.next[chain] === 0) {
      chunk.heads[at] = pool.spte[chain]!
      pool.give(chain)
    }
  }

  /** The first spte of a page; 0 when it has none. */
  first(index: number): RmapRef {
    const chunk = this.chunks[index >>> CHUNK_SHIFT]
    return chunk == null ? 0 : chunk.heads[index & (CHUNK_PAGES - 1)]!
  }

  /** The next spte of the same page. Read it before the current one is removed. */
  next(ref: RmapRef): RmapRef {
    return ref > 0 ? 0 : -this.pool.next[-ref]!
  }

  /** Address of the spte in bytes. */
  sptep(ref: RmapRef): number {
    return (ref > 0 ? ref : this.pool.spte[-ref]!) * 8
  }

  /** The first mapped page in [from, to), or -1. */
  nextMapped(from: number, to: number): number {
    let index = from
    while (index < to) {
      const chunk = this.chunks[index >>> CHUNK_SHIFT]
      if (chunk == null || chunk.count === 0) {
        index = ((index >>> CHUNK_SHIFT) + 1) << CHUNK_SHIFT
        continue
      }
      const at = index & (CHUNK_PAGES - 1)
      const rest = chunk.occupied[at >>> 5]! >>> (at & 31)
      if (rest === 0) {
        index = ((index >>> 5) + 1) << 5
        continue
      }
      index += 31 - Math.clz32(rest & -rest)
      return index < to ? index : -1
    }
    return -1
  }

  /** Bytes held, without the pool. */
  get bytes(): number {
    let chunks = 0
    for (const chunk of this.chunks) if (chunk !== null) chunks++
    return this.chunks.length * 8 + chunks * (CHUNK_PAGES * 4 + CHUNK_WORDS * 4)
  }
}

function missing(index: number, sptep: number): KernelBug {
  return new KernelBug(`rmap: spte ${hex(sptep)} is not in the reverse map of page ${index}`, 'I2')
}
