/**
 * Table frames that a vCPU has ready before it takes mmuLock (struct kvm_mmu_memory_cache, virt/kvm/kvm_main.c, 6.12).
 *
 * R1 Filled where sleeping and reclaim are allowed, emptied under mmuLock: nothing allocates under mmuLock, since
 *    reclaim calls this VM's own hooks, which take it.
 */
import { KernelBug } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'
import type { Backing } from './backing.ts'

/** Owned by one vCPU's task. */
export class PageTableCache {
  private readonly backing: Backing
  private readonly frames: Pfn[] = []

  constructor(backing: Backing) {
    this.backing = backing
  }

  /** Frames at hand. */
  get length(): number {
    return this.frames.length
  }

  /** Makes sure of at least `count` frames. May sleep and reclaim. @throws KernelError ENOMEM; what was got is kept */
  async topUp(count: number): Promise<void> {
    while (this.frames.length < count) {
      const frame = await this.backing.allocTable(0)
      this.frames.push(frame)
    }
  }

  /** Takes a frame, contents undefined. @throws KernelBug when it was not topped up enough */
  take(): Pfn {
    const frame = this.frames.pop()
    if (frame === undefined) throw new KernelBug('page table cache is empty: it was topped up for fewer tables')
    return frame
  }

  /** Gives all frames back to the host. */
  drain(): void {
    for (const frame of this.frames) this.backing.freeTable(frame, 0)
    this.frames.length = 0
  }
}
