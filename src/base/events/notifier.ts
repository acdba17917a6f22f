/** Events of `src/notifier`. Ranges are half open, in bytes; ids are unique within one kernel. */
export type NotifierEvent =
  | SrcuEvent
  | InvalidationEvent
  | CalloutEvent
  | RegistrationEvent
  | {
      /** After its last put and a grace period. */
      readonly name: 'mmu_notifier_freed'
      readonly mm: number
      readonly notifier: number
      readonly client: string
    }
  | {
      /** Taken off its mm's list: walks that begin from here on do not meet it. `init` leaves it ready to be added again. */
      readonly name: 'hlist_del_rcu' | 'hlist_del_init_rcu'
      readonly mm: number
      readonly notifier: number
      readonly client: string
    }
  | {
      /** `release` of every notifier of an mm that exits, as a whole. */
      readonly name: 'mmu_notifier_release_begin' | 'mmu_notifier_release_end'
      readonly mm: number
    }

type SrcuEvent =
  | {
      readonly name: 'srcu_read_lock' | 'srcu_read_unlock'
      readonly srcu: string
      readonly idx: number
    }
  | {
      /** One grace period, however many callers share it. */
      readonly name: 'srcu_gp_start' | 'srcu_gp_end'
      readonly srcu: string
      /** Number of the grace period in its domain, from 1. */
      readonly gp: number
    }
  | {
      /** One caller that waits. */
      readonly name: 'synchronize_srcu_begin' | 'synchronize_srcu_end'
      readonly srcu: string
      readonly expedited: boolean
    }
  | {
      /** A domain was taken down while readers or callbacks were left: its memory is leaked, with a warning. */
      readonly name: 'srcu_leak'
      readonly srcu: string
      readonly readers: readonly string[]
      readonly callbacks: number
    }

/**
 * The window of one invalidation: it opens with `start`, before the first hook, and closes with `ended`, after the
 * last one. `started` and `end` stand at its inner edges: between them the caller changes the page table. Emitted
 * whether or not the mm has notifiers. A `started` with a result other than 0 is a window that is closed again.
 */
interface InvalidationEvent {
  readonly name:
    | 'mmu_notifier_invalidate_range_start'
    | 'mmu_notifier_invalidate_range_started'
    | 'mmu_notifier_invalidate_range_end'
    | 'mmu_notifier_invalidate_range_ended'
  readonly mm: number
  readonly start: number
  readonly end: number
  /** Why: UNMAP, CLEAR, ... (enum mmu_notifier_event). */
  readonly event: string
  readonly blockable: boolean
  /** 0, or -EAGAIN of a non-blockable start that would have slept. */
  readonly result: number
}

/** One call of one hook. */
interface CalloutEvent {
  readonly name: 'mmu_notifier_callout_begin' | 'mmu_notifier_callout_end'
  readonly mm: number
  readonly notifier: number
  readonly client: string
  /** Name of the hook, as the client implements it. */
  readonly op: string
  readonly start: number
  readonly end: number
}

interface RegistrationEvent {
  readonly name:
    | 'mmu_notifier_register_begin'
    | 'mmu_notifier_register_end'
    | 'mmu_notifier_unregister_begin'
    | 'mmu_notifier_unregister_end'
  readonly mm: number
  readonly notifier: number
  readonly client: string
}
