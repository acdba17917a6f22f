/**
 * mmu_lock as x86 and arm64 have it (KVM_HAVE_MMU_RWLOCK, rwlock_t mmu_lock, 6.12): faults share it, all else excludes.
 *
 * R1 `lock` and `unlock` are the exclusive side, so that whoever knows only one side works with either kind of lock.
 */
import { RwSemaphore } from '../sched/index.ts'
import type { ExclusiveLock, Task } from '../sched/index.ts'

export class MmuRwLock extends RwSemaphore implements ExclusiveLock {
  /** One of those who hold it. */
  get holder(): Task | null {
    return this.holders()[0] ?? null
  }

  get isLocked(): boolean {
    return this.holders().length > 0
  }

  async lock(): Promise<void> {
    await this.downWrite()
  }

  tryLock(): boolean {
    return this.tryDownWrite()
  }

  unlock(): void {
    this.upWrite()
  }
}
