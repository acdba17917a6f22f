/** A host mm as the backing of a VM. */
import type { Hva, Pfn } from '../base/index.ts'
import { PTE_V, PTE_W, ptePpn } from '../hardware/index.ts'
import type { PhysicalMemory } from '../hardware/index.ts'
import { TASK_SIZE, faultInPage } from '../host/index.ts'
import type { Kernel, Mm } from '../host/index.ts'
import { createSrcu, mmuNotifierRegister, mmuNotifierUnregister } from '../notifier/index.ts'
import type { MmuNotifier, MmuNotifierOps, Srcu } from '../notifier/index.ts'
import type { Scheduler } from '../sched/index.ts'
import type { Backing, FaultedPage } from './backing.ts'
import type { Vm } from './vm.ts'

export class MmBacking implements Backing {
  /** Immutable. */
  readonly mm: Mm
  readonly sched: Scheduler
  readonly memory: PhysicalMemory
  readonly mmId: number
  readonly pageTableLock: 'sleep' | 'spin'
  readonly changePte: 'bracketed' | 'unbracketed'
  readonly userLimit: number = TASK_SIZE
  private readonly kernel: Kernel
  private registration: MmuNotifier | null = null

  /** @param mm has a user, the caller; the VM keeps the structure, not the user (mmgrab) */
  constructor(mm: Mm) {
    this.mm = mm
    this.kernel = mm.kernel
    this.sched = mm.sched
    this.memory = mm.kernel.memory
    this.mmId = mm.id
    this.pageTableLock = mm.kernel.options.pageTableLock
    this.changePte = mm.kernel.options.changePte
  }

  nextVmId(): number {
    return ++this.kernel.lastVmId
  }

  createSrcu(name: string): Srcu {
    return createSrcu(this.mm.srcu.kind, this.sched, { name })
  }

  async register(notifier: MmuNotifierOps): Promise<void> {
    this.registration = await mmuNotifierRegister(notifier, this.mm)
    this.mm.grab()
  }

  async unregister(): Promise<void> {
    if (this.registration === null) return
    await mmuNotifierUnregister(this.registration, this.mm)
    this.registration = null
    this.mm.drop()
  }

  created(vm: Vm): void {
    this.kernel.vms.add(vm)
  }

  released(vm: Vm): void {
    this.kernel.vms.delete(vm)
  }

  faultInPage(address: Hva, options: { readonly write: boolean }): Promise<FaultedPage> {
    return faultInPage(this.mm, address, options)
  }

  peekPage(address: Hva, write: boolean): number {
    const pte = this.mm.pageTable.read(address)
    const rights = write ? PTE_V | PTE_W : PTE_V
    return (pte & rights) === rights ? ptePpn(pte, 0) : -1
  }

  peekLevel(address: Hva): number {
    if ((this.mm.pageTable.read(address) & PTE_V) === 0) return -1
    return this.mm.pageTable.hugePmd(address) === 0 ? 0 : 1
  }

  putPage(frame: Pfn): void {
    this.kernel.putPage(frame)
  }

  setPageDirty(frame: Pfn): void {
    this.kernel.setPageDirty(frame)
  }

  markPageAccessed(frame: Pfn): void {
    this.kernel.markPageAccessed(frame)
  }

  allocTable(order: number): Promise<Pfn> {
    return this.kernel.allocator.allocPages(order, 'spte', this.mm.id)
  }

  freeTable(frame: Pfn, order: number): void {
    this.kernel.allocator.freePages(frame, order)
  }
}
