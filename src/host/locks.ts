/**
 * The locks of the host mm, as data (Linux v6.12 mm/rmap.c, head comment).
 *
 * i_rwsem > mmap_lock > folio lock > i_mmap_rwsem > anon_vma rwsem > page-table lock, and whatever a client of the notifier
 * takes comes inside the innermost lock that its hook is called under.
 *
 * R1 A hook that may sleep waits with some of these held: it takes none of them (the SRCU of the callouts is declared
 *    inside the innermost, so that the lock-order check reports the first attempt, not the first deadlock), and neither faults pages in nor
 *    allocates memory that reclaim could have to find.
 * R2 Counters and lists that only one step touches at a time (LRU lists, swap map, refcounts) have no lock: between
 *    two switch points a task is atomic, as Linux's lru_lock and swap lock make it.
 */
import { mmuNotifierSrcu } from '../notifier/index.ts'
import { lockClass } from '../sched/index.ts'
import type { LockClass } from '../sched/index.ts'

export const ksmThreadMutex: LockClass = lockClass({
  name: 'ksm_thread_mutex',
  type: 'mutex',
  protects: 'The scan position of KSM, its stable and unstable tables.',
})

export const inodeLock: LockClass = lockClass({
  name: 'i_rwsem',
  type: 'mutex',
  protects: 'The size of one file against those who change it: truncation, hole punching and write system calls.',
})

export const mmapLock: LockClass = lockClass({
  name: 'mmap_lock',
  type: 'rwsem',
  protects:
    'The VMAs of one mm and which page tables exist. Faults and pins read, mmap, munmap, mprotect, fork write. ' +
    'Fork holds the one of the child inside the one of the parent.',
  inside: [ksmThreadMutex, inodeLock],
  nests: true,
})

export const mmAllLocksMutex: LockClass = lockClass({
  name: 'mm_all_locks_mutex',
  type: 'mutex',
  protects: 'The order of those who take every rmap lock of an mm at once (registration of a notifier).',
  inside: [mmapLock],
})

export const pageLock: LockClass = lockClass({
  name: 'folio_lock',
  type: 'mutex',
  protects:
    'The identity of one page: its place in the page cache or swap cache, whether it is up to date, and the change ' +
    'from mapped to unmapped that reclaim, migration, truncation and KSM make.',
  inside: [mmapLock],
})

export const iMmapLock: LockClass = lockClass({
  name: 'i_mmap_rwsem',
  type: 'rwsem',
  protects: 'The set of VMAs that map one file, and their bounds as an rmap walk sees them.',
  inside: [pageLock, mmAllLocksMutex],
  nests: true,
})

export const anonVmaLock: LockClass = lockClass({
  name: 'anon_vma_rwsem',
  type: 'rwsem',
  protects: 'The sets of VMAs of one family of anon_vmas, and their bounds as an rmap walk sees them.',
  inside: [iMmapLock, mmAllLocksMutex],
  nests: true,
})

/** Fork nests the lock of the child inside the one of the parent. */
export const pageTableLock: LockClass = lockClass({
  name: 'page_table_lock',
  type: 'mutex or spinlock',
  protects:
    'Every PTE and table page of one mm. A sleeping mutex by default, so that the aging hooks and change_pte, which ' +
    'are called under it, may sleep; a spin lock as in Linux on request.',
  inside: [anonVmaLock],
  nests: true,
  outside: [mmuNotifierSrcu],
})

/** All classes, outermost first, for docs/locking.md. */
export const hostLockClasses: readonly LockClass[] = [
  ksmThreadMutex,
  inodeLock,
  mmapLock,
  mmAllLocksMutex,
  pageLock,
  iMmapLock,
  anonVmaLock,
  pageTableLock,
]
