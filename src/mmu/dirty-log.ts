/**
 * The dirty log: which guest pages vCPUs, and the hypervisor on their behalf, have written
 * (virt/kvm/kvm_main.c kvm_get_dirty_log_protect, kvm_clear_dirty_log_protect, 6.12).
 *
 * ```
 *  harvest                         vcpu
 *  take the bits, clear W
 *                                  store through a warm TLB entry: no bit
 *  flush, wait for the vCPUs
 *  hand the bits out
 *  caller copies the page          (that store is in the copy; the next one faults and sets the bit)
 * ```
 *
 * R1 The bit is set before a store can happen without a fault; W is taken in the same hold of mmuLock that takes the
 *    bit; the flush is complete before the caller sees the bits (I3).
 * R2 Stores of the host itself, and loads, set no bit.
 */
import { KernelError } from '../base/index.ts'
import type { Gfn } from '../base/index.ts'
import type { Memslot } from './memslots.ts'
import type { Vm } from './vm.ts'

export class DirtyLog {
  protected readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
  }

  /** A page has been, or may from now on be, written. */
  markPageDirty(slot: Memslot, frame: Gfn | number): void {
    const { dirty } = slot.memory
    if (dirty === null || !slot.logsDirtyPages) return
    const page = frame - slot.baseGfn
    const bit = 1 << (page & 31)
    if ((dirty[page >>> 5]! & bit) !== 0) return
    dirty[page >>> 5]! |= bit
    const { vm } = this
    if (vm.trace.on) vm.trace.emit({ name: 'kvm_mark_page_dirty', vm: vm.id, slot: slot.id, gfn: frame })
  }

  /** Logging begins: every store from here on must fault once. */
  async start(slot: Memslot): Promise<void> {
    const { vm } = this
    if (vm.options.dirtyLog === 'initially-set') return
    await vm.mmuLock.lock()
    const changed = vm.sptes.writeProtectGfns(slot, slot.baseGfn, slot.endGfn, false)
    if (changed > 0) await vm.flush.remoteGfns(slot.baseGfn, slot.npages)
    vm.mmuLock.unlock()
  }

  /**
   * KVM_GET_DIRTY_LOG: the pages written since the last harvest, one bit a page, 64 pages in two words.
   * Unless the VM protects manually, the bits are cleared and the pages write-protected again.
   * @throws KernelError ENOENT for a slot that does not exist or is not logged
   */
  async get(id: number): Promise<Uint32Array> {
    const { vm } = this
    await vm.memslots.slotsLock.lock()
    try {
      const slot = this.logged(id)
      const bits = await this.harvest(slot)
      if (vm.trace.on) vm.trace.emit({ name: 'kvm_get_dirty_log', vm: vm.id, slot: id, dirty: countBits(bits) })
      return bits
    } finally {
      vm.memslots.slotsLock.unlock()
    }
  }

  /** Takes the bits and protects, flushes, and only then hands them out (R1). */
  protected async harvest(slot: Memslot): Promise<Uint32Array> {
    const { vm } = this
    if (vm.options.dirtyLog !== 'automatic') return slot.memory.dirty!.slice()
    await vm.mmuLock.lock()
    const bits = slot.memory.dirty!.slice()
    let changed = 0
    for (let word = 0; word < bits.length; word++) {
      if (bits[word] !== 0) changed += this.takeWord(slot, word, bits[word]!)
    }
    vm.mmuLock.unlock()
    if (changed > 0) await vm.flush.remoteGfns(slot.baseGfn, slot.npages)
    return bits
  }

  /**
   * KVM_CLEAR_DIRTY_LOG: clears the given bits and write-protects their pages.
   * @param first page of the slot that the first bit stands for, a multiple of 64
   * @param pages a multiple of 64, or up to the end of the slot
   * @throws KernelError EINVAL for a range that is none, ENOENT as `get`
   */
  async clear(id: number, first: number, pages: number, bits: Uint32Array): Promise<void> {
    const { vm } = this
    await vm.memslots.slotsLock.lock()
    try {
      if (first % 64 !== 0) throw new KernelError('EINVAL', `first page ${first} is not a multiple of 64`)
      const slot = this.logged(id)
      const toEnd = pages === slot.npages - first
      if (first >= slot.npages || pages > slot.npages - first || (pages % 64 !== 0 && !toEnd)) {
        throw new KernelError(
          'EINVAL',
          `${pages} pages from ${first} of a slot of ${slot.npages}: expected 64s, or to its end`,
        )
      }
      await vm.mmuLock.lock()
      let changed = 0
      for (let at = 0; at * 32 < pages; at++) {
        const word = first / 32 + at
        const taken = bits[at]! & slot.memory.dirty![word]!
        if (taken !== 0) changed += this.takeWord(slot, word, taken)
      }
      vm.mmuLock.unlock()
      if (changed > 0) await vm.flush.remoteGfns(slot.baseGfn + first, pages)
      if (vm.trace.on) vm.trace.emit({ name: 'kvm_clear_dirty_log', vm: vm.id, slot: id, cleared: countBits(bits) })
    } finally {
      vm.memslots.slotsLock.unlock()
    }
  }

  /** Clears bits of one word and takes W from their pages, in one step under mmuLock. */
  protected takeWord(slot: Memslot, word: number, bits: number): number {
    slot.memory.dirty![word]! &= ~bits
    let changed = 0
    for (let bit = 0; bit < 32; bit++) {
      if ((bits & (1 << bit)) === 0) continue
      const frame = slot.baseGfn + word * 32 + bit
      if (frame < slot.endGfn) changed += this.vm.sptes.writeProtectGfns(slot, frame, frame + 1, false)
    }
    return changed
  }

  private logged(id: number): Memslot {
    const slot = this.vm.memslots.active.find(id)
    if (slot === null || !slot.logsDirtyPages || slot.memory.dirty === null) {
      throw new KernelError('ENOENT', `memslot ${id} ${slot === null ? 'does not exist' : 'has no dirty log'}`)
    }
    return slot
  }
}

/** Pages in a bitmap. */
export function countBits(bits: Uint32Array): number {
  let count = 0
  for (const word of bits) for (let rest = word; rest !== 0; rest = (rest & (rest - 1)) >>> 0) count++
  return count
}
