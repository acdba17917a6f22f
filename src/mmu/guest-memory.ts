/**
 * The hypervisor's own access to guest memory (virt/kvm/kvm_main.c kvm_read_guest, kvm_write_guest, 6.12): for loaders,
 * the SBI console and everything else that takes a guest physical address.
 *
 * R1 It goes through the hva, as a store of the VM's process does: it may fault pages in, and what was written is
 *    logged as dirty.
 * R2 Page reference in hand, the page is used only if the mm still maps it: it may have been replaced by a copy since.
 * R3 A store to a guest page table that has shadow pages is told to them.
 */
import { KernelError, PAGE_SIZE, gfn, hex, hpa } from '../base/index.ts'
import type { Gpa, Hva, Pfn } from '../base/index.ts'
import type { Memslot } from './memslots.ts'
import type { Vm } from './vm.ts'

/** @throws KernelError EFAULT for a hole or an hva that does not resolve; nothing is known about the rest then */
export async function readGuest(vm: Vm, address: Gpa, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  const idx = await vm.srcu.readLock()
  try {
    for (let at = 0; at < length;) {
      const { slot, frame, offset, size } = piece(vm, address + at, length - at, false)
      await withPage(vm, slot.hvaOf(frame), false, (pfn) => {
        bytes.set(vm.memory.readBytes(hpa(pfn * PAGE_SIZE + offset), size), at)
        traceBytes(vm, 'mem_load', slot.hvaOf(frame) + offset, pfn * PAGE_SIZE + offset, size)
      })
      at += size
    }
  } finally {
    await vm.srcu.readUnlock(idx)
  }
  return bytes
}

/** @throws KernelError EFAULT as `readGuest`, and for a read-only slot */
export async function writeGuest(vm: Vm, address: Gpa, bytes: Uint8Array): Promise<void> {
  const idx = await vm.srcu.readLock()
  try {
    for (let at = 0; at < bytes.length;) {
      const { slot, frame, offset, size } = piece(vm, address + at, bytes.length - at, true)
      await withPage(vm, slot.hvaOf(frame), true, (pfn) => {
        vm.memory.writeBytes(hpa(pfn * PAGE_SIZE + offset), bytes.subarray(at, at + size))
        vm.backing.setPageDirty(pfn)
        vm.dirtyLog.markPageDirty(slot, frame)
        traceBytes(vm, 'mem_store', slot.hvaOf(frame) + offset, pfn * PAGE_SIZE + offset, size)
      })
      if (vm.pages.shadowing(frame).length > 0) {
        await vm.mmuLock.lock()
        await vm.mmu.trackWrite(frame, offset, size)
        vm.mmuLock.unlock()
      }
      at += size
    }
  } finally {
    await vm.srcu.readUnlock(idx)
  }
}

/**
 * Faults a page in and uses it in the same step as the check that the mm still maps it.
 * @throws KernelError EFAULT, ENOMEM
 */
export async function withPage(vm: Vm, address: Hva, write: boolean, use: (pfn: Pfn) => void): Promise<void> {
  for (;;) {
    const page = await vm.backing.faultInPage(address, { write })
    const current = vm.backing.peekPage(address, write) === page.pfn
    if (current) use(page.pfn)
    vm.backing.putPage(page.pfn)
    if (current) return
    await vm.sched.yieldNow()
  }
}

function piece(
  vm: Vm,
  address: number,
  rest: number,
  write: boolean,
): { slot: Memslot; frame: ReturnType<typeof gfn>; offset: number; size: number } {
  const frame = gfn(Math.floor(address / PAGE_SIZE))
  const slot = vm.memslots.active.lookup(frame)
  if (slot === null || slot.isInvalid) throw new KernelError('EFAULT', `no memslot at gpa ${hex(address)}`)
  if (write && slot.isReadonly)
    throw new KernelError('EFAULT', `memslot ${slot.id} at gpa ${hex(address)} is read-only`)
  const offset = address % PAGE_SIZE
  return { slot, frame, offset, size: Math.min(PAGE_SIZE - offset, rest) }
}

/** Reports an access in pieces of up to 8 bytes, aligned as a hart would make them. */
export function traceBytes(vm: Vm, name: 'mem_load' | 'mem_store', address: number, at: number, size: number): void {
  if (!vm.trace.accesses) return
  for (let done = 0; done < size;) {
    let step = 8
    while ((address + done) % step !== 0 || step > size - done) step /= 2
    let value = 0n
    for (let i = step - 1; i >= 0; i--) value = (value << 8n) | BigInt(vm.memory.read8(hpa(at + done + i)))
    const mm = vm.backing.mmId
    vm.trace.emit({ name, mm, vcpu: -1, hva: address + done, size: step, value, hpa: at + done })
    done += step
  }
}
