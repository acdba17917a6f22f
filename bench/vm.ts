/** A mapping of a host mm that a VM has as its memory, with one vCPU to touch it: the fixture of several subjects. */
import { PAGE_SIZE, hva } from '../src/base/index.ts'
import type { Gvn, Hva } from '../src/base/index.ts'
import { Kernel } from '../src/host/index.ts'
import type { Mm } from '../src/host/index.ts'
import { Vm } from '../src/mmu/index.ts'
import type { Vcpu, VmOptions } from '../src/mmu/index.ts'

export const GUEST_BASE = 0x8000_0000
const FIRST_PAGE = GUEST_BASE / PAGE_SIZE

export class VmFixture {
  readonly kernel: Kernel
  readonly mm: Mm
  readonly vm: Vm
  readonly vcpu: Vcpu
  /** Where the memory lies in the mm. */
  readonly start: Hva
  readonly pages: number

  private constructor(vm: Vm, mm: Mm, start: Hva, pages: number) {
    this.kernel = mm.kernel
    this.mm = mm
    this.vm = vm
    this.vcpu = vm.createVcpu()
    this.start = start
    this.pages = pages
  }

  /** @param slotPages pages that the VM sees; the rest of the mapping lies outside any slot */
  static async create(kernel: Kernel, pages: number, slotPages: number, options: VmOptions = {}): Promise<VmFixture> {
    const mm = await kernel.createMm()
    const memory = await mm.mmap({ length: pages * PAGE_SIZE })
    const vm = await Vm.create(mm, options)
    await vm.setMemslot({ id: 0, gpa: GUEST_BASE, length: slotPages * PAGE_SIZE, hva: memory.start })
    return new VmFixture(vm, mm, memory.start, pages)
  }

  /** Makes the first pages present in the host. */
  async populateHost(pages: number, first: number = 0): Promise<void> {
    await this.mm.madvise(this.start + first * PAGE_SIZE, pages * PAGE_SIZE, 'populateWrite')
  }

  /** The guest stores to the first pages, which faults in whatever is missing; then it leaves guest mode. */
  async populateGuest(pages: number): Promise<void> {
    for (let page = 0; page < pages; page++) await this.store(page)
    this.vcpu.exitGuest()
  }

  /** One store of the guest. The vCPU stays in guest mode. */
  async store(page: number): Promise<void> {
    const { vcpu } = this
    for (;;) {
      await vcpu.enterGuest()
      if (vcpu.translateWrite((FIRST_PAGE + page) as Gvn) !== -1) return
      const outcome = await vcpu.handleMiss()
      if (outcome !== 'retry') throw new Error(`the guest's store to page ${page} ended in ${outcome}`)
    }
  }

  /** MADV_DONTNEED of `pages` pages. */
  async dontneed(pages: number, first: number = 0): Promise<void> {
    await this.mm.madvise(hva(this.start + first * PAGE_SIZE), pages * PAGE_SIZE, 'dontneed')
  }

  async destroy(): Promise<void> {
    await this.vm.destroy()
    await this.mm.exit()
    this.kernel.assertBalanced()
  }
}
