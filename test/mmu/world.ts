/** A kernel, one mm with memory, and a VM over it whose vCPUs make single loads and stores as a hart would. */
import { PAGE_SIZE, gpa, gva, gvnOf, hpa, hva } from '../../src/base/index.ts'
import type { Gvn, Hva } from '../../src/base/index.ts'
import { PTE_A, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, pteLow } from '../../src/hardware/index.ts'
import { Kernel } from '../../src/host/index.ts'
import type { KernelOptions, MmapOptions, Mm } from '../../src/host/index.ts'
import { Vm, consistencyReport, forEachSpte, forEachTlbEntry } from '../../src/mmu/index.ts'
import type { Vcpu, VmOptions } from '../../src/mmu/index.ts'

/** Random schedules to try: so many, and ten times that in a long run. */
export const schedules = (count: number): number => (process.env['UMBRA_LONG'] === '1' ? count * 10 : count)

/** First guest frame of the memory. */
export const RAM = 0x80000
export const PTE_RW: number = PTE_V | PTE_R | PTE_W | PTE_A | PTE_D
export const PTE_RWXU: number = PTE_RW | PTE_X | PTE_U

export interface WorldOptions {
  readonly kernel?: KernelOptions
  readonly vm?: VmOptions
  /** A variant of the VM. */
  readonly vmClass?: typeof Vm
  readonly pages?: number
  readonly mmap?: Partial<MmapOptions>
  readonly vcpus?: number
  readonly tlbEntries?: number
}

export class World {
  readonly kernel: Kernel
  readonly mm: Mm
  readonly vm: Vm
  /** Host address of the memory. */
  readonly base: Hva
  readonly pages: number
  readonly vcpus: Vcpu[] = []

  private constructor(kernel: Kernel, mm: Mm, vm: Vm, base: Hva, pages: number) {
    this.kernel = kernel
    this.mm = mm
    this.vm = vm
    this.base = base
    this.pages = pages
  }

  static async create(kernel: Kernel, options: WorldOptions = {}): Promise<World> {
    const pages = options.pages ?? 8
    const mm = await kernel.createMm('guest')
    const ram = await mm.mmap({ length: pages * PAGE_SIZE, ...options.mmap })
    const vm = await (options.vmClass ?? Vm).create(mm, options.vm)
    await vm.setMemslot({ id: 0, gpa: RAM * PAGE_SIZE, length: pages * PAGE_SIZE, hva: ram.start })
    const world = new World(kernel, mm, vm, ram.start, pages)
    for (let i = 0; i < (options.vcpus ?? 1); i++) {
      world.vcpus.push(vm.createVcpu({ tlb: { entries: options.tlbEntries ?? 8 } }))
    }
    return world
  }

  /** Host address of a page of the memory. */
  hva(page: number): Hva {
    return hva(this.base + page * PAGE_SIZE)
  }

  /** Writes a guest PTE into page `table`, as the guest's own loader would. */
  async setGpte(table: number, index: number, frame: number, flags: number): Promise<void> {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setUint32(0, flags === 0 ? 0 : pteLow(frame, flags), true)
    await this.vm.writeGuest(gpa((RAM + table) * PAGE_SIZE + index * 8), bytes)
  }

  /** Everything that must hold at any step: no translation that can be used names a free frame. */
  auditStep(fail: (message: string) => void): void {
    const { kind } = this.kernel.pages
    forEachSpte(this.vm, (spte) => {
      if (kind[spte.pfn] === 0) fail(`spte of gfn ${spte.gfn} names free frame ${spte.pfn}`)
    })
    forEachTlbEntry(this.vm, (entry) => {
      if (entry.usable && kind[entry.pfn] === 0) fail(`TLB of vcpu ${entry.vcpu} names free frame ${entry.pfn}`)
    })
  }

  /** Everything that must hold at rest: every translation agrees with the host page table, and the books balance. */
  auditRest(fail: (message: string) => void): void {
    const agree = (what: string, address: number, pfn: number, writable: boolean): void => {
      const mapped = this.vm.backing.peekPage(hva(address), writable)
      if (mapped !== pfn) fail(`${what} maps frame ${pfn}${writable ? ' writable' : ''}, the host ${mapped}`)
    }
    forEachSpte(this.vm, (spte) => agree(`spte of gfn ${spte.gfn}`, spte.hva, spte.pfn, spte.writable))
    forEachTlbEntry(this.vm, (entry) => {
      if (entry.usable) agree(`TLB entry of gfn ${entry.gfn}`, entry.hva, entry.pfn, entry.access === 'write')
    })
    for (const line of consistencyReport(this.vm)) fail(line)
    if (this.vm.invalidation.inProgress !== 0) fail('an invalidation is left in progress')
  }

  /** Ends everything; the kernel must balance then. */
  async close(): Promise<void> {
    for (const vcpu of this.vcpus) vcpu.exitGuest()
    await this.vm.destroy()
    await this.mm.exit()
    this.kernel.assertBalanced()
  }
}

export const pageOf = (page: number): Gvn => gvnOf(gva(BigInt(page) << 12n))

/** How a run that is not retried ends. */
export type Result = number | 'mmio' | 'efault' | 'oom' | 'fault' | 'stored'

/** One aligned 32-bit store at `offset` of a guest page; `done` runs in the step of the store. */
export async function store(
  vcpu: Vcpu,
  page: number,
  value: number,
  options: { offset?: number; done?: () => void; emulate?: boolean } = {},
): Promise<Result> {
  const { offset = 0 } = options
  for (;;) {
    await vcpu.enterGuest()
    const at = vcpu.translateWrite(pageOf(page))
    if (at !== -1) {
      vcpu.bytes.write32(hpa(at + offset), value)
      options.done?.()
      return 1
    }
    if (vcpu.missKind === 1) return 'fault'
    const pending = options.emulate === true ? { offset, size: 4, value: BigInt(value) } : null
    const outcome = await vcpu.handleMiss(pending)
    if (outcome === 'stored') options.done?.()
    if (outcome !== 'retry') return outcome
  }
}

/** One aligned 32-bit load; `done` runs in the step of the load. */
export async function load(
  vcpu: Vcpu,
  page: number,
  options: { offset?: number; done?: (value: number) => void; fetch?: boolean } = {},
): Promise<Result> {
  for (;;) {
    await vcpu.enterGuest()
    const at = options.fetch === true ? vcpu.translateFetch(pageOf(page)) : vcpu.translateRead(pageOf(page))
    if (at !== -1) {
      const value = vcpu.bytes.read32(hpa(at + (options.offset ?? 0)))
      options.done?.(value)
      return value
    }
    if (vcpu.missKind === 1) return 'fault'
    const outcome = await vcpu.handleMiss()
    if (outcome !== 'retry') return outcome
  }
}

/** Runs a body in a kernel of its own. */
export async function inWorld(options: WorldOptions, body: (world: World) => Promise<void>): Promise<void> {
  const kernel = new Kernel({ frames: 256, ...options.kernel })
  await kernel.run(async () => body(await World.create(kernel, options)))
}
