/**
 * anon_vma: from an anonymous page to the VMAs that may map it (Linux v6.12 mm/rmap.c, include/linux/rmap.h).
 *
 * An anonymous page points at the anon_vma of the VMA that it was first mapped in. A fork's child VMA joins every
 * anon_vma of its parent's VMA and gets one of its own for its new pages.
 *
 * R1 All anon_vmas of a family share the lock of its root, which protects their sets and the bounds of the VMAs in them.
 * R2 A VMA's own anon_vma is set once, under the mmap lock, and stays until the VMA goes.
 */
import { RwSemaphore } from '../sched/index.ts'
import type { Scheduler } from '../sched/index.ts'
import { anonVmaLock } from './locks.ts'
import type { Vma } from './vma.ts'

export class AnonVma {
  /** Immutable. */
  readonly id: number
  /** The oldest ancestor; itself for a root. Immutable. */
  readonly root: AnonVma
  /** The root's lock; protects `vmas` of the whole family. Immutable. */
  readonly lock: RwSemaphore
  /** Protected by the lock. */
  readonly vmas: Set<Vma> = new Set()

  constructor(sched: Scheduler, id: number, parent: AnonVma | null) {
    this.id = id
    this.root = parent === null ? this : parent.root
    this.lock = parent === null ? new RwSemaphore(sched, anonVmaLock, `anon_vma_rwsem ${id}`) : parent.root.lock
  }
}

/** Gives a VMA its anon_vma before its first anonymous page (Linux: anon_vma_prepare). One step. */
export function anonVmaPrepare(vma: Vma): AnonVma {
  if (vma.anonVma !== null) return vma.anonVma
  const made = vma.mm.kernel.newAnonVma(null)
  made.vmas.add(vma)
  vma.anonVma = made
  vma.anonVmas.push(made)
  return made
}

/** `to` joins every anon_vma of `from` (Linux: anon_vma_clone). */
export async function anonVmaClone(to: Vma, from: Vma): Promise<void> {
  if (from.anonVma === null) return
  const lock = from.anonVma.lock
  await lock.downWrite()
  for (const anonVma of from.anonVmas) {
    anonVma.vmas.add(to)
    to.anonVmas.push(anonVma)
  }
  lock.upWrite()
}

/** As `anonVmaClone`, for the child of a fork: its new pages get an anon_vma of their own (Linux: anon_vma_fork). */
export async function anonVmaFork(child: Vma, parent: Vma): Promise<void> {
  if (parent.anonVma === null) return
  await anonVmaClone(child, parent)
  const lock = parent.anonVma.lock
  await lock.downWrite()
  const made = child.mm.kernel.newAnonVma(parent.anonVma)
  made.vmas.add(child)
  child.anonVma = made
  child.anonVmas.push(made)
  lock.upWrite()
}

/** The VMA goes: no rmap walk finds it any more (Linux: unlink_anon_vmas). */
export async function unlinkAnonVmas(vma: Vma): Promise<void> {
  const first = vma.anonVmas[0]
  if (first === undefined) return
  await first.lock.downWrite()
  for (const anonVma of vma.anonVmas) anonVma.vmas.delete(vma)
  vma.anonVmas.length = 0
  vma.anonVma = null
  first.lock.upWrite()
}
