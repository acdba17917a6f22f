/** A small real world for checks: one mm, one VM with one vCPU, and the auditor on everything. */
import { PAGE_SIZE, gva, gvnOf, hpa } from '../../src/base/index.ts'
import type { Gfn, Invariant } from '../../src/base/index.ts'
import { Auditor, KernelWorld, violationOf } from '../../src/check/index.ts'
import type { AuditorOptions, Violation } from '../../src/check/index.ts'
import { Kernel } from '../../src/host/index.ts'
import type { HostThread, KernelOptions, Mm } from '../../src/host/index.ts'
import { Vm } from '../../src/mmu/index.ts'
import type { Vcpu } from '../../src/mmu/index.ts'

export const GFN = 0x80000

export interface SmallWorld {
  readonly kernel: Kernel
  readonly auditor: Auditor
  readonly mm: Mm
  /** First byte of guest memory in the mm. */
  readonly ram: number
  readonly vm: Vm
  readonly vcpu: Vcpu
  readonly thread: HostThread
}

export interface SmallWorldOptions {
  readonly kernel?: KernelOptions
  readonly auditor?: AuditorOptions
  readonly pages?: number
  readonly shared?: boolean
  readonly makeVm?: (mm: Mm) => Promise<Vm>
  readonly makeKernel?: (options: KernelOptions) => Kernel
}

/** What a run came to: the violations, and how often each invariant was judged. */
export interface Verdict {
  readonly violations: readonly Violation[]
  readonly checks: ReadonlyMap<Invariant, number>
}

/** Runs `body` in a new world, takes the world down, and returns the auditor's verdict. */
export async function inSmallWorld(
  options: SmallWorldOptions,
  body: (world: SmallWorld) => Promise<void>,
): Promise<Verdict> {
  const kernelOptions: KernelOptions = { frames: 512, ...options.kernel }
  const kernel = options.makeKernel?.(kernelOptions) ?? new Kernel(kernelOptions)
  const auditor = new Auditor(kernel.trace, new KernelWorld(kernel), { sweepEvery: 200, ...options.auditor })
  const pages = options.pages ?? 4
  try {
    await kernel.run(async () => {
      const mm = await kernel.createMm('vmm')
      const ram = await mm.mmap({ length: pages * PAGE_SIZE, shared: options.shared ?? false })
      const vm = await (options.makeVm ?? ((owner: Mm) => Vm.create(owner)))(mm)
      await vm.setMemslot({ id: 0, gpa: GFN * PAGE_SIZE, length: ram.length, hva: ram.start })
      const vcpu = vm.createVcpu({ tlb: { entries: 16 } })
      await body({ kernel, auditor, mm, ram: ram.start, vm, vcpu, thread: mm.createThread() })
      vcpu.exitGuest()
      await vm.destroy()
      await mm.exit()
    })
  } catch (failure) {
    const violation = violationOf(failure)
    if (violation === null) throw failure
    if (!auditor.violations.includes(violation)) auditor.violations.push(violation)
    return { violations: auditor.violations, checks: auditor.ledger.checks }
  }
  return { violations: auditor.finish(), checks: auditor.ledger.checks }
}

/** One guest store of 8 bytes to the start of a page, as a run loop does it. */
export async function guestStore(world: SmallWorld, page: number, value: bigint): Promise<string> {
  const { kernel, mm, vcpu } = world
  for (;;) {
    await vcpu.enterGuest()
    const at = vcpu.translateWrite(gvnOf(gva(BigInt(GFN + page) << 12n)))
    if (at !== -1) {
      kernel.memory.write64(hpa(at), value)
      const hva = vcpu.vm.hvaOfFrame(vcpu.frame as Gfn)
      kernel.trace.emit({ name: 'mem_store', mm: mm.id, vcpu: vcpu.id, hva, size: 8, value, hpa: at })
      return 'ok'
    }
    const outcome = await vcpu.handleMiss()
    if (outcome !== 'retry') return outcome
  }
}

/** One guest load of 8 bytes from the start of a page. */
export async function guestLoad(world: SmallWorld, page: number): Promise<bigint | string> {
  const { kernel, mm, vcpu } = world
  for (;;) {
    await vcpu.enterGuest()
    const at = vcpu.translateRead(gvnOf(gva(BigInt(GFN + page) << 12n)))
    if (at !== -1) {
      const value = kernel.memory.read64(hpa(at))
      const hva = vcpu.vm.hvaOfFrame(vcpu.frame as Gfn)
      kernel.trace.emit({ name: 'mem_load', mm: mm.id, vcpu: vcpu.id, hva, size: 8, value, hpa: at })
      return value
    }
    const outcome = await vcpu.handleMiss()
    if (outcome !== 'retry') return outcome
  }
}
