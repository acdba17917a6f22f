/** What this room knows of an mm: the thing with a notifier list. `src/host` implements it. */
import type { RwSemaphore, Scheduler } from '../sched/index.ts'
import type { Srcu } from './srcu.ts'
import type { MmuNotifierSubscriptions } from './subscriptions.ts'

export interface NotifierMm {
  /** Unique within the kernel. Immutable. */
  readonly id: number
  /** Immutable. */
  readonly sched: Scheduler
  /** The kernel's one SRCU domain for callouts, shared by all its mms. Immutable. */
  readonly srcu: Srcu
  /** null until the first registration, then the same until the mm is freed. Protected by `mmTakeAllLocks`. */
  notifierSubscriptions: MmuNotifierSubscriptions | null
  readonly mmapLock: RwSemaphore
  /** Users of the address space (mm_users): at 0 it is torn down. */
  readonly users: number
  /** References to the structure (mm_count): at 0 it is freed. Each notifier holds one. */
  readonly count: number

  /** Takes a reference to the structure (mmgrab). */
  grab(): void
  /** Drops one (mmdrop). Must not sleep: a callback of SRCU may be the last. */
  drop(): void
  /**
   * Excludes every rmap walk and every holder of the mmap lock, which the caller holds for writing: so no callout is
   * running (mm_take_all_locks).
   * @throws KernelError EINTR when a signal came first; nothing is held then
   */
  mmTakeAllLocks(): Promise<void>
  mmDropAllLocks(): void
  /** Makes the list, as `new MmuNotifierSubscriptions(this)` does. */
  newNotifierSubscriptions(): MmuNotifierSubscriptions
}
