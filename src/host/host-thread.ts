/**
 * A thread of the host's user program: loads and stores by host virtual address, as its CPU would make them.
 *
 * R1 The TLB answers first, even when the page table has changed since: it is the kernel's duty to flush it.
 * R2 No switch point stands between a translation and the access that uses it.
 * R3 The hardware sets A on every translation and D on every translation for a store (Svadu), in the PTE itself and in
 *    the step of translating; a store needs an entry of the store TLB, which is filled with D set only.
 * R4 A miss that the page table cannot answer is a fault: handled, then the access is tried again.
 */
import { KernelError, PAGE_SIZE, hex } from '../base/index.ts'
import type { Hpa, Hva, Pfn } from '../base/index.ts'
import { PTE_R, PTE_U, PTE_V, PTE_W, Tlb } from '../hardware/index.ts'
import { HPAGE_PMD_ORDER } from './split-huge-pmd.ts'
import { checkAccess, handleMmFault } from './memory.ts'
import type { Mm } from './mm.ts'
import { pteMkdirty, pteMkyoung, ptePfn } from './pte.ts'

/** Entries of each of its two TLBs. */
const TLB_ENTRIES = 16

const READABLE: number = PTE_V | PTE_U | PTE_R
const WRITABLE: number = READABLE | PTE_W

export class HostThread {
  readonly mm: Mm
  readonly name: string
  /** Translations for loads and for stores. Flushed by whoever changes the page table, between two accesses. */
  readonly loadTlb: Tlb = new Tlb({ entries: TLB_ENTRIES })
  readonly storeTlb: Tlb = new Tlb({ entries: TLB_ENTRIES })

  /** For `Mm.createThread`. */
  constructor(mm: Mm, name: string) {
    this.mm = mm
    this.name = name
  }

  /** The thread ends; its TLBs are nobody's concern any more. */
  exit(): void {
    const at = this.mm.threads.indexOf(this)
    if (at >= 0) this.mm.threads.splice(at, 1)
    this.flushAll()
  }

  // Loads, unsigned. All throw KernelError: EFAULT without a right to read, ENOMEM, EINVAL when not aligned.

  async load8(hva: number): Promise<number> {
    await this.approach(hva, 1)
    for (;;) {
      const hpa = this.translateLoad(hva)
      if (hpa !== -1) return this.load(hva, 1, hpa)
      await this.fault(hva, false)
    }
  }

  async load16(hva: number): Promise<number> {
    await this.approach(hva, 2)
    for (;;) {
      const hpa = this.translateLoad(hva)
      if (hpa !== -1) return this.load(hva, 2, hpa)
      await this.fault(hva, false)
    }
  }

  async load32(hva: number): Promise<number> {
    await this.approach(hva, 4)
    for (;;) {
      const hpa = this.translateLoad(hva)
      if (hpa !== -1) return this.load(hva, 4, hpa)
      await this.fault(hva, false)
    }
  }

  async load64(hva: number): Promise<bigint> {
    await this.approach(hva, 8)
    for (;;) {
      const hpa = this.translateLoad(hva)
      if (hpa !== -1) {
        const value = this.mm.kernel.memory.read64(hpa)
        this.traceAccess('mem_load', hva, 8, value, hpa)
        return value
      }
      await this.fault(hva, false)
    }
  }

  // Stores of the low bits of `value`. Throw as loads do.

  async store8(hva: number, value: number): Promise<void> {
    await this.store(hva, 1, value)
  }

  async store16(hva: number, value: number): Promise<void> {
    await this.store(hva, 2, value)
  }

  async store32(hva: number, value: number): Promise<void> {
    await this.store(hva, 4, value)
  }

  async store64(hva: number, value: bigint): Promise<void> {
    await this.approach(hva, 8)
    for (;;) {
      const hpa = this.translateStore(hva)
      if (hpa !== -1) {
        this.mm.kernel.memory.write64(hpa, value)
        this.traceAccess('mem_store', hva, 8, value, hpa)
        return
      }
      await this.fault(hva, true)
    }
  }

  // What the kernel does to its TLBs.

  flushAll(): void {
    this.loadTlb.flushAll()
    this.storeTlb.flushAll()
  }

  /** @param first page number */
  flushPages(first: number, count: number): void {
    if (count === 1) {
      this.loadTlb.flushPage(first)
      this.storeTlb.flushPage(first)
      return
    }
    this.loadTlb.flushPages(first, count)
    this.storeTlb.flushPages(first, count)
  }

  /** The switch point before an access, and the alignment check. */
  private async approach(hva: number, size: number): Promise<void> {
    if (!Number.isInteger(hva) || hva < 0 || hva % size !== 0) {
      throw new KernelError('EINVAL', `${this.name}: access of ${size} bytes at ${hva}: expected an aligned address`)
    }
    const { sched } = this.mm
    if (sched.contended) await sched.point(this, 'r', 'host access')
  }

  private load(hva: number, size: 1 | 2 | 4, hpa: Hpa): number {
    const { memory } = this.mm.kernel
    const value = size === 4 ? memory.read32(hpa) : size === 2 ? memory.read16(hpa) : memory.read8(hpa)
    if (this.mm.kernel.trace.accesses) this.traceAccess('mem_load', hva, size, BigInt(value), hpa)
    return value
  }

  private async store(hva: number, size: 1 | 2 | 4, value: number): Promise<void> {
    await this.approach(hva, size)
    const { memory, trace } = this.mm.kernel
    for (;;) {
      const hpa = this.translateStore(hva)
      if (hpa === -1) {
        await this.fault(hva, true)
        continue
      }
      if (size === 4) memory.write32(hpa, value)
      else if (size === 2) memory.write16(hpa, value)
      else memory.write8(hpa, value)
      if (trace.accesses) this.traceAccess('mem_store', hva, size, BigInt.asUintN(size * 8, BigInt(value)), hpa)
      return
    }
  }

  /** @returns the address in physical memory, or -1: fault */
  private translateLoad(hva: number): Hpa | -1 {
    const page = Math.floor(hva / PAGE_SIZE)
    const entry = this.loadTlb.lookup(page, 0, 0, 0)
    if (entry !== -1) return address(this.loadTlb.pfnAt(entry), hva)
    const pfn = this.walk(hva, READABLE, pteMkyoung)
    if (pfn === -1) return -1
    this.loadTlb.fill(page, 0, 0, 0, false, pfn, 0, this.leafShift(hva))
    return address(pfn, hva)
  }

  private translateStore(hva: number): Hpa | -1 {
    const page = Math.floor(hva / PAGE_SIZE)
    const entry = this.storeTlb.lookup(page, 0, 0, 0)
    if (entry !== -1) return address(this.storeTlb.pfnAt(entry), hva)
    const pfn = this.walk(hva, WRITABLE, pteMkusedForStore)
    if (pfn === -1) return -1
    this.storeTlb.fill(page, 0, 0, 0, false, pfn, 0, this.leafShift(hva))
    return address(pfn, hva)
  }

  /** Walks the page table as hardware does. @returns the frame, or -1 when a needed right is missing */
  private walk(hva: number, rights: number, mark: (pte: number) => number): Pfn | -1 {
    const { pageTable, kernel, taskSize } = this.mm
    if (hva >= taskSize || this.mm.users <= 0) return -1
    const slot = pageTable.slot(hva)
    const leaf = slot === -1 ? pageTable.pmdSlot(hva) : slot
    if (leaf === -1) return -1
    const pte = kernel.memory.readLow(leaf)
    if ((pte & rights) !== rights) return -1
    const marked = mark(pte)
    if (marked !== pte) kernel.memory.writePte(leaf, marked, 0)
    return ptePfn(pageTable.read(hva))
  }

  /** log2 of the pages that the leaf over `hva` maps. */
  private leafShift(hva: number): number {
    return this.mm.pageTable.hugePmd(hva) === 0 ? 0 : HPAGE_PMD_ORDER
  }

  /** Takes the page fault. @throws KernelError EFAULT (a signal, in a real kernel), ENOMEM */
  private async fault(hva: number, write: boolean): Promise<void> {
    const { mm } = this
    if (mm.users <= 0) throw new KernelError('EFAULT', `${this.name}: access at ${hex(hva)} after ${mm.name} exited`)
    const page = (hva - (hva % PAGE_SIZE)) as Hva
    await mm.mmapLock.downRead()
    try {
      const vma = mm.vmas.lookup(page)
      checkAccess(vma, hva, write, this.name)
      await handleMmFault(vma, page, write)
    } finally {
      mm.mmapLock.upRead()
    }
  }

  private traceAccess(name: 'mem_load' | 'mem_store', hva: number, size: number, value: bigint, hpa: Hpa): void {
    const { trace } = this.mm.kernel
    if (trace.accesses) trace.emit({ name, mm: this.mm.id, vcpu: -1, hva, size, value, hpa })
  }
}

const pteMkusedForStore = (pte: number): number => pteMkdirty(pteMkyoung(pte))

const address = (pfn: Pfn, hva: number): Hpa => (pfn * PAGE_SIZE + (hva % PAGE_SIZE)) as Hpa
