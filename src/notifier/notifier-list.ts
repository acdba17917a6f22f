/**
 * The notifier and the intrusive list it stands in (Linux struct mmu_notifier, rculist.h hlist).
 *
 * A walker may stand on a node while somebody unlinks it, so an unlinked node keeps its `next`: the walker goes on from
 * there to the nodes that followed. An array that is copied or spliced would behave differently.
 *
 * R1 New nodes go to the head. A walk that began earlier does not see them.
 * R2 `delInit` unlinks once and does nothing more: two may race to delete. `del` must be called exactly once: on a node
 *    that is not linked it writes through a null or poisoned pointer.
 */
import { KernelBug } from '../base/index.ts'
import { CalloutStats } from './callout-stats.ts'
import type { MmuNotifierOps } from './ops.ts'
import type { NotifierMm } from './notifier-mm.ts'

/**
 * - `fresh`: never registered, or ready to be registered again
 * - `registered`: hooks may run; exit may have unlinked it already
 * - `dying`: put for the last time, its grace period is not over
 * - `freed`: the memory is gone
 */
type NotifierLife = 'fresh' | 'registered' | 'dying' | 'freed'

/** One client on one mm. A client may extend it to keep its own state per mm. */
export class MmuNotifier {
  readonly ops: MmuNotifierOps
  /** For reports and traces. */
  readonly client: string
  readonly stats: CalloutStats = new CalloutStats()
  /** Unique within the kernel, once registered; 0 before. */
  id = 0
  /** Set by register, kept until the notifier is freed. */
  mm: NotifierMm | null = null
  /** References by `mmuNotifierGet`. Protected by the subscriptions' lock. */
  users = 0
  life: NotifierLife = 'fresh'
  /** Kept when unlinked. Written under the subscriptions' lock, read under SRCU. */
  next: MmuNotifier | null = null
  /** The list or node whose `next` is this. Protected by the subscriptions' lock. */
  pprev: NotifierLink | null = null

  constructor(ops: MmuNotifierOps) {
    this.ops = ops
    this.client = ops.name ?? ops.constructor.name
  }

  /** Is it linked (!hlist_unhashed)? Outside the lock the answer may be old. */
  get isHashed(): boolean {
    return this.pprev !== null
  }

  /** The client frees its memory (kfree): whatever touches it from here on is reported. */
  free(): void {
    if (this.life === 'freed') throw new KernelBug(`${this.describe()} is freed twice`, 'I5')
    this.life = 'freed'
    if (this.mm === null || !this.mm.sched.trace.on) return
    this.mm.sched.trace.emit({ name: 'mmu_notifier_freed', mm: this.mm.id, notifier: this.id, client: this.client })
  }

  describe(): string {
    return `notifier ${this.client}#${this.id}${this.mm === null ? '' : ` of mm ${this.mm.id}`}`
  }
}

/** Whatever has a `next` that points to a notifier: the list's head, or a notifier. */
interface NotifierLink {
  next: MmuNotifier | null
}

const POISON: NotifierLink = Object.freeze({ next: null })

/** Written under the subscriptions' lock, walked under SRCU. */
export class NotifierList implements NotifierLink {
  next: MmuNotifier | null = null

  get isEmpty(): boolean {
    return this.next === null
  }

  /** hlist_add_head_rcu */
  addHead(mn: MmuNotifier): void {
    mn.next = this.next
    mn.pprev = this
    if (this.next !== null) this.next.pprev = mn
    this.next = mn
  }

  /** hlist_del_init_rcu: unlinks if linked; the node may be added again. */
  delInit(mn: MmuNotifier): void {
    if (!mn.isHashed) return
    this.unlink(mn, 'hlist_del_init_rcu')
    mn.pprev = null
  }

  /** hlist_del_rcu: unlinks, and poisons the way back. @throws KernelBug I5 when it is not linked */
  del(mn: MmuNotifier): void {
    this.unlink(mn, 'hlist_del_rcu')
    mn.pprev = POISON
  }

  private unlink(mn: MmuNotifier, name: 'hlist_del_rcu' | 'hlist_del_init_rcu'): void {
    const { pprev, mm } = mn
    if (pprev === null) throw new KernelBug(`NULL pointer dereference: hlist_del of unhashed ${mn.describe()}`, 'I5')
    if (pprev === POISON) throw new KernelBug(`poisoned pointer: second hlist_del of ${mn.describe()}`, 'I5')
    pprev.next = mn.next
    if (mn.next !== null) mn.next.pprev = pprev
    if (mm?.sched.trace.on === true) {
      mm.sched.trace.emit({ name, mm: mm.id, notifier: mn.id, client: mn.client })
    }
  }
}
