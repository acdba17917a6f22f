/**
 * A guest page whose frame the hypervisor keeps at hand to write it again and again, as a steal-time or shared page
 * (virt/kvm/pfncache.c gfn_to_pfn_cache, 6.12).
 *
 * It is an spte in all but name: the notifier invalidates it, a memslot change makes it stale, and it holds no reference
 * on the page.
 *
 * ```
 *  munmap                                refresh
 *  active 1, valid = false
 *                                        seq; hva -> frame 7
 *                                        active is not 0: again     <- without this, frame 7 would be cached and freed
 *  clear PTE, free frame 7, end
 * ```
 *
 * R1 Usable only while `check` says so, in the same step: address, slot generation and validity all count.
 * R2 A refresh takes only what was looked up while no invalidation was open: the caches are invalidated before mmuLock
 *    is taken, so the count of all open ones decides, not the in-progress count.
 * R3 Activating puts it on the list first; deactivating takes it off last. No hook misses a usable one.
 */
import { KernelError, PAGE_SIZE, gfn, hex, hpa, hva } from '../base/index.ts'
import type { Gpa, Hva, Pfn } from '../base/index.ts'
import { Mutex } from '../sched/index.ts'
import { traceBytes } from './guest-memory.ts'
import { refreshLockClass } from './locks.ts'
import type { Vm } from './vm.ts'

/** Virtual nanoseconds between two attempts while an invalidation is open. */
const RETRY_NANOSECONDS = 1000

export class GfnToPfnCache {
  readonly vm: Vm
  /** In use: hooks look at it. */
  active = false
  /** The frame may be used, if nothing else has changed. */
  valid = false
  gpa: Gpa = 0 as Gpa
  uhva: Hva = hva(0)
  /** Memslot generation that `uhva` was found in. */
  generation = -1
  pfn: Pfn = 0 as Pfn
  private readonly refreshLock: Mutex

  constructor(vm: Vm) {
    this.vm = vm
    this.refreshLock = new Mutex(vm.sched, refreshLockClass)
  }

  /** Starts caching the page of a guest physical address. @throws KernelError EFAULT, EINVAL when it is active already */
  async activate(address: Gpa): Promise<void> {
    if (this.active) throw new KernelError('EINVAL', 'the cache is active: deactivate it first')
    this.vm.pfnCaches.add(this)
    this.active = true
    this.valid = false
    await this.refresh(address)
  }

  deactivate(): void {
    this.active = false
    this.valid = false
    this.vm.pfnCaches.delete(this)
  }

  /** May the frame be used in this step? */
  check(): boolean {
    return this.active && this.valid && this.generation === this.vm.memslots.active.generation
  }

  /**
   * Looks the page up again if need be; sleeps.
   * @throws KernelError EFAULT when no slot or no page is there, ENOMEM
   */
  async refresh(address: Gpa = this.gpa): Promise<void> {
    const { vm } = this
    await this.refreshLock.lock()
    const idx = await vm.srcu.readLock()
    try {
      if (this.check() && address === this.gpa) return
      const { active } = vm.memslots
      const slot = active.lookup(Math.floor(address / PAGE_SIZE))
      if (slot === null || slot.isInvalid || slot.isReadonly) {
        this.valid = false
        throw new KernelError('EFAULT', `no writable memslot at gpa ${hex(address)}`)
      }
      this.valid = false
      this.gpa = address
      this.generation = active.generation
      this.uhva = slot.hvaOf(gfn(Math.floor(address / PAGE_SIZE)))
      await this.lookUp()
    } finally {
      await vm.srcu.readUnlock(idx)
      this.refreshLock.unlock()
    }
  }

  /** Stores bytes at an offset of the address; they must stay within the page. @throws KernelError EFAULT, ENOMEM */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const within = (this.gpa % PAGE_SIZE) + offset
    if (within + bytes.length > PAGE_SIZE)
      throw new KernelError('EINVAL', `${bytes.length} bytes at ${within} leave the page`)
    while (!this.check()) await this.refresh()
    const { vm } = this
    const frame = gfn(Math.floor(this.gpa / PAGE_SIZE))
    const slot = vm.memslots.active.lookup(frame)
    vm.memory.writeBytes(hpa(this.pfn * PAGE_SIZE + within), bytes)
    vm.backing.setPageDirty(this.pfn)
    traceBytes(vm, 'mem_store', this.uhva + within, this.pfn * PAGE_SIZE + within, bytes.length)
    if (slot !== null) vm.dirtyLog.markPageDirty(slot, frame)
  }

  /** For the notifier: what was looked up in [start, end) of the mm is gone. */
  invalidate(start: number, end: number): void {
    if (!this.valid || this.uhva < start || this.uhva >= end) return
    this.valid = false
    const { trace, id } = this.vm
    if (trace.on) trace.emit({ name: 'kvm_pfncache_invalidate', vm: id, gpa: this.gpa, pfn: this.pfn })
  }

  /** hva_to_pfn_retry. */
  private async lookUp(): Promise<void> {
    const { vm } = this
    for (;;) {
      const { seq } = vm.invalidation
      const page = await vm.backing.faultInPage(this.uhva, { write: true })
      const stale = this.mustRetry(seq)
      if (!stale && this.active) {
        this.pfn = page.pfn
        this.valid = true
        if (vm.trace.on) vm.trace.emit({ name: 'kvm_pfncache_refresh', vm: vm.id, gpa: this.gpa, pfn: page.pfn })
      }
      vm.backing.putPage(page.pfn)
      if (!stale) return
      vm.sched.advance(RETRY_NANOSECONDS)
      await vm.sched.yieldNow()
    }
  }

  /** R2. */
  protected mustRetry(seq: number): boolean {
    const { invalidation } = this.vm
    return invalidation.active !== 0 || invalidation.seq !== seq
  }
}
