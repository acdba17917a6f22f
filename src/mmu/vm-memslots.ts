/**
 * Changing memslots while vCPUs run (virt/kvm/kvm_main.c kvm_set_memory_region, kvm_set_memslot,
 * kvm_swap_active_memslots, 6.12).
 *
 * ```
 *  create, flags:   prepare the other table -> wait for open invalidations -> publish -> grace period
 *  delete, move:    the same once with the slot marked INVALID, zap its sptes, then again with the real change
 * ```
 *
 * R1 A table is published only while no invalidation is between its start and its end: both must see the same slots,
 *    or the in-progress count would not come back to zero.
 * R2 After publishing, a grace period of the VM's SRCU passes before anything relies on the change: faults that found
 *    the old table have ended.
 * R3 slotsArchLock is dropped before the grace period; slotsLock is kept, so changes come one at a time.
 */
import { KernelError, PAGE_SIZE, gfn, hex, hva } from '../base/index.ts'
import { Mutex, WaitQueue } from '../sched/index.ts'
import { slotsArchLockClass, slotsLockClass } from './locks.ts'
import {
  KVM_MEMSLOT_INVALID,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  Memslot,
  Memslots,
  SlotMemory,
} from './memslots.ts'
import type { Vm } from './vm.ts'

/** struct kvm_userspace_memory_region: plain numbers, checked here. */
export interface MemoryRegion {
  /** Slot id, 0 to 32763. */
  readonly id: number
  /** First guest physical byte. */
  readonly gpa: number
  /** Bytes; 0 deletes the slot. */
  readonly length: number
  /** First byte in the mm. */
  readonly hva: number
  /** Stores by the guest exit as MMIO. Default false. */
  readonly readonly?: boolean
  /** Keep a dirty bitmap. Default false. */
  readonly logDirtyPages?: boolean
  /** The flags as a number, instead of the two above. */
  readonly flags?: number
}

/** KVM_USER_MEM_SLOTS of x86: ids from 0 to one less. */
export const KVM_USER_MEM_SLOTS = 32764
/** KVM_MEM_MAX_NR_PAGES. */
export const KVM_MEM_MAX_NR_PAGES: number = 2 ** 31 - 1
/** Largest slot that this host has bookkeeping for (64 GiB): beyond it is ENOMEM. */
const MAX_BOOKKEEPING_PAGES: number = 2 ** 24

type Change = 'create' | 'delete' | 'move' | 'flags'

export class VmMemslots {
  /** The published table. Read inside the VM's SRCU, or with slotsLock held. */
  active: Memslots = new Memslots(0, [])
  readonly slotsLock: Mutex
  readonly slotsArchLock: Mutex
  /** Woken when the last open invalidation ends. */
  readonly invalidationsEnded: WaitQueue
  protected readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
    this.slotsLock = new Mutex(vm.sched, slotsLockClass, `slots_lock vm ${vm.id}`)
    this.slotsArchLock = new Mutex(vm.sched, slotsArchLockClass, `slots_arch_lock vm ${vm.id}`)
    this.invalidationsEnded = new WaitQueue(vm.sched, `open invalidations of vm ${vm.id}`)
  }

  /**
   * Creates, deletes, moves a slot or changes its flags. May sleep long: for every reader of the old table.
   * @throws KernelError EINVAL, EEXIST, ENOMEM, as KVM_SET_USER_MEMORY_REGION
   */
  async set(region: MemoryRegion): Promise<void> {
    this.checkRegion(region)
    await this.slotsLock.lock()
    try {
      await this.setLocked(region)
    } finally {
      this.slotsLock.unlock()
    }
  }

  /** What can be said without looking at the other slots. */
  private checkRegion(region: MemoryRegion): void {
    const flags = flagsOf(region)
    const invalid = (what: string): KernelError => new KernelError('EINVAL', `memslot ${region.id}: ${what}`)
    if ((flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)) !== 0) throw invalid(`unknown flags ${hex(flags)}`)
    if (!Number.isInteger(region.id) || region.id < 0 || region.id >= KVM_USER_MEM_SLOTS) {
      throw invalid(`expected an id from 0 to ${KVM_USER_MEM_SLOTS - 1}`)
    }
    if (!aligned(region.length)) throw invalid(`length ${region.length} is not a multiple of ${PAGE_SIZE}`)
    if (!aligned(region.gpa)) throw invalid(`gpa ${hex(region.gpa)} is not a multiple of ${PAGE_SIZE}`)
    if (!aligned(region.hva)) throw invalid(`hva ${hex(region.hva)} is not a multiple of ${PAGE_SIZE}`)
    if (region.hva + region.length > this.vm.backing.userLimit) {
      throw invalid(`hva ${hex(region.hva)} + ${hex(region.length)} is above the user addresses`)
    }
    const gpaLimit = 2 ** this.vm.options.gpaMode.vaBits
    if (region.gpa + region.length > gpaLimit) {
      throw invalid(`gpa ${hex(region.gpa)} + ${hex(region.length)} is above ${hex(gpaLimit)}`)
    }
    if (region.length / PAGE_SIZE > KVM_MEM_MAX_NR_PAGES) throw invalid(`${region.length / PAGE_SIZE} pages`)
  }

  private async setLocked(region: MemoryRegion): Promise<void> {
    const { id } = region
    const invalid = (what: string): KernelError => new KernelError('EINVAL', `memslot ${id}: ${what}`)
    const old = this.active.find(id)
    if (region.length === 0) {
      if (old === null) throw invalid('deleted, but there is none')
      return this.change('delete', old, null)
    }
    const npages = region.length / PAGE_SIZE
    const base = gfn(region.gpa / PAGE_SIZE)
    const flags = flagsOf(region)
    if (old !== null) {
      if (region.hva !== old.userspaceAddr) throw invalid('its hva cannot change; delete it first')
      if (npages !== old.npages) throw invalid('its length cannot change; delete it first')
      if (((flags ^ old.flags) & KVM_MEM_READONLY) !== 0) throw invalid('READONLY cannot change; delete it first')
      if (base === old.baseGfn && flags === old.flags) return
    }
    const other = this.active.overlapping(base, base + npages, id)
    if (other !== null) throw new KernelError('EEXIST', `memslot ${id}: shares guest frames with slot ${other.id}`)
    if (npages > MAX_BOOKKEEPING_PAGES) throw new KernelError('ENOMEM', `memslot ${id}: ${npages} pages are too many`)
    const memory = old?.memory ?? new SlotMemory(this.vm.sptes.pool, base, npages)
    const slot = new Memslot(id, base, npages, hva(region.hva), flags, memory)
    await this.change(old === null ? 'create' : base === old.baseGfn ? 'flags' : 'move', old, slot)
  }

  /** kvm_set_memslot. */
  protected async change(change: Change, old: Memslot | null, slot: Memslot | null): Promise<void> {
    await this.slotsArchLock.lock()
    if (old !== null && (change === 'delete' || change === 'move')) await this.invalidate(old)
    this.prepareDirtyBitmap(slot)
    const id = (slot ?? old)!.id
    await this.publish(this.active.replace(this.active.generation + 1, id, slot))
    await this.commit(change, old, slot)
  }

  /** Publishes the slot as INVALID and empties it: from here on faults on it retry, and nothing maps its frames. */
  protected async invalidate(old: Memslot): Promise<void> {
    const marked = old.with(old.flags | KVM_MEMSLOT_INVALID)
    await this.publish(this.active.replace(this.active.generation + 1, old.id, marked))
    await this.vm.mmu.flushSlot(marked)
    await this.slotsArchLock.lock()
  }

  /**
   * Makes a table the one that readers find, and waits until no reader of the one before is left.
   * Preconditions: slotsLock and slotsArchLock held; the latter is dropped.
   */
  protected async publish(next: Memslots): Promise<void> {
    const { vm } = this
    next.updateInProgress = true
    await this.waitForInvalidations()
    const previous = this.active
    this.active = next
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_swap_active_memslots', vm: vm.id, generation: next.generation })
    this.slotsArchLock.unlock()
    await this.synchronize()
    previous.retire()
    next.updateInProgress = false
  }

  /** R1. Nothing may come between the end of the wait and the publishing. */
  protected async waitForInvalidations(): Promise<void> {
    await this.invalidationsEnded.wait(() => this.vm.invalidation.active === 0, {
      why: `open invalidations of vm ${this.vm.id} to end before its memslots change`,
    })
  }

  /** R2. */
  protected async synchronize(): Promise<void> {
    await this.vm.srcu.synchronizeExpedited()
  }

  /** kvm_arch_commit_memory_region: what follows from the change once nobody sees the old table. */
  protected async commit(change: Change, old: Memslot | null, slot: Memslot | null): Promise<void> {
    const { vm } = this
    if (slot !== null && slot.logsDirtyPages && old?.logsDirtyPages !== true) await vm.dirtyLog.start(slot)
    if (slot !== null && !slot.logsDirtyPages) slot.memory.dirty = null
    if (!vm.trace.on) return
    const shown = (slot ?? old)!
    vm.trace.emit({
      name: 'kvm_set_memslot',
      vm: vm.id,
      slot: shown.id,
      change,
      gfn: shown.baseGfn,
      pages: shown.npages,
      hva: shown.userspaceAddr,
      flags: shown.flags,
    })
  }

  /** The bitmap exists before anybody can see the slot as logged. */
  private prepareDirtyBitmap(slot: Memslot | null): void {
    if (slot === null || !slot.logsDirtyPages || slot.memory.dirty !== null) return
    slot.memory.dirty = new Uint32Array(Math.ceil(slot.npages / 64) * 2)
    if (this.vm.options.dirtyLog === 'initially-set') {
      for (let page = 0; page < slot.npages; page++) slot.memory.dirty[page >>> 5]! |= 1 << (page & 31)
    }
  }
}

const aligned = (value: number): boolean => Number.isSafeInteger(value) && value >= 0 && value % PAGE_SIZE === 0

function flagsOf(region: MemoryRegion): number {
  if (region.flags !== undefined) return region.flags
  return (
    (region.readonly === true ? KVM_MEM_READONLY : 0) | (region.logDirtyPages === true ? KVM_MEM_LOG_DIRTY_PAGES : 0)
  )
}
