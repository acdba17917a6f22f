/**
 * The disk behind `disk` files: blocks of one page, kept in frames that the page allocator does not manage.
 *
 * R1 A block belongs to one page of one file, or is free.
 */
import type { Pfn } from '../base/index.ts'
import type { PhysicalMemory } from '../hardware/index.ts'

export class Disk {
  /** Number of blocks; they are numbered from 0. Immutable. */
  readonly blocks: number
  private readonly memory: PhysicalMemory
  private readonly firstFrame: number
  /** Changed in one step. */
  private readonly taken: Uint8Array

  constructor(memory: PhysicalMemory, firstFrame: number, blocks: number) {
    this.memory = memory
    this.firstFrame = firstFrame
    this.blocks = blocks
    this.taken = new Uint8Array(blocks)
  }

  /** A free block, or -1. */
  allocate(): number {
    const block = this.taken.indexOf(0)
    if (block !== -1) this.taken[block] = 1
    return block
  }

  release(block: number): void {
    this.taken[block] = 0
  }

  /** Copies the frame to the block. */
  async writePage(block: number, pfn: Pfn): Promise<void> {
    this.memory.copyFrame((this.firstFrame + block) as Pfn, pfn)
  }

  /** Copies the block to the frame. */
  async readPage(block: number, pfn: Pfn): Promise<void> {
    this.memory.copyFrame(pfn, (this.firstFrame + block) as Pfn)
  }
}
