/**
 * The locks of a VM, as data (Documentation/virt/kvm/locking.rst, 6.12).
 *
 *   kvm->slots_lock
 *     kvm->slots_arch_lock
 *   gpc->refresh_lock
 *     mmap lock of the mm ... page-table lock
 *       kvm->mmu_lock
 *
 * R1 mmuLock nests inside the page-table lock, because the aging hooks and changePte run under that one; nothing that
 *    may take an mm lock (faulting a page in, above all) runs under mmuLock.
 * R2 The hooks take neither slotsLock nor slotsArchLock: a slot change waits for them while it holds both.
 */
import { mmapLock, pageTableLock } from '../host/index.ts'
import { mmuNotifierSrcu } from '../notifier/index.ts'
import { lockClass } from '../sched/index.ts'
import type { LockClass } from '../sched/index.ts'

export const slotsLockClass: LockClass = lockClass({
  name: 'kvm->slots_lock',
  type: 'mutex',
  protects: 'who changes memslots, one at a time; dirty-log harvests of one VM',
})

export const slotsArchLockClass: LockClass = lockClass({
  name: 'kvm->slots_arch_lock',
  type: 'mutex',
  protects: 'the unpublished memslot table while it is prepared',
  inside: [slotsLockClass],
})

/** Spinning when the page-table lock spins, since it is taken under it; else sleeping, and shared by faults on request. */
export const mmuLockClass: LockClass = lockClass({
  name: 'kvm->mmu_lock',
  type: 'mutex or spinlock',
  protects:
    'sptes, shadow pages, reverse maps, invalidation counters, dirty bitmaps; `mmuLock: shared` lets faults share it',
  inside: [slotsLockClass, pageTableLock, mmuNotifierSrcu],
})

/** Held while a page is faulted in, so outside the mm's locks. */
export const refreshLockClass: LockClass = lockClass({
  name: 'gpc->refresh_lock',
  type: 'mutex',
  protects: 'who looks the page of a gfn_to_pfn_cache up, one at a time',
  outside: [mmapLock],
})

/** All classes, outermost first, for docs/locking.md. */
export const mmuLockClasses: readonly LockClass[] = [slotsLockClass, slotsArchLockClass, refreshLockClass, mmuLockClass]
