/**
 * A small real world for checks: one kernel, one mm, a VM over it, and guest accesses as a run loop makes them.
 *
 * R1 Nothing here is a model: the kernel, the VM and the translation path are the production code, or the parts that a
 *    caller puts in their place.
 * R2 A world is built and taken down by one task, so that neither makes a scheduling decision.
 */
import { PAGE_SIZE, gva, gvnOf, hpa } from '../base/index.ts'
import type { Gfn } from '../base/index.ts'
import { Kernel } from '../host/index.ts'
import type { HostThread, KernelOptions, Mm } from '../host/index.ts'
import { Vm } from '../mmu/index.ts'
import type { Vcpu, VmOptions } from '../mmu/index.ts'
import { createSrcu } from '../notifier/index.ts'

/** Frame of the first page of guest memory. */
export const FIRST_GFN = 0x80000

/** What stands in for production code in a world: an exhibit's subclass, a client's own. */
export interface WorldParts {
  /** Default `Kernel`. Its factories make the mm, the notifier list and the SRCU of the callouts. */
  readonly kernel?: typeof Kernel
  /** Default `Vm`. Its factories make the notifier hooks, the fault path and the rest. */
  readonly vm?: typeof Vm
  /** What scenarios of SRCU alone make their domain with. Default `createSrcu`. */
  readonly createSrcu?: typeof createSrcu
}

export interface WorldOptions {
  /** 64 frames unless it says otherwise. */
  readonly kernel?: KernelOptions
  /** Pages of guest memory, mapped in the mm. Default 4. */
  readonly pages?: number
  /** They are shared memory. Default false: anonymous and private. */
  readonly shared?: boolean
  /** Options of the VM; null for a world without one. */
  readonly vm?: VmOptions | null
  /** Flags of its memslot (KVM_MEM_*). Default 0. */
  readonly slotFlags?: number
  /** vCPUs of the VM. Default 1. */
  readonly vcpus?: number
}

/** A world, while its first task runs. */
export interface World {
  readonly kernel: Kernel
  readonly parts: WorldParts
  readonly mm: Mm
  /** First byte of guest memory in the mm. */
  readonly ram: number
  readonly pages: number
  /** @throws KernelBug in a world without a VM */
  readonly vm: Vm
  readonly vcpus: readonly Vcpu[]
  /** The first of them. */
  readonly vcpu: Vcpu
  /** A thread of the mm, with TLBs of its own. */
  readonly thread: HostThread
}

/** The kernel of a world; `run` something in it. */
export function createKernel(options: WorldOptions = {}, parts: WorldParts = {}): Kernel {
  return new (parts.kernel ?? Kernel)({ frames: 64, ...options.kernel })
}

/** Builds the world; in a task of its kernel. */
export async function buildWorld(kernel: Kernel, options: WorldOptions = {}, parts: WorldParts = {}): Promise<World> {
  const pages = options.pages ?? 4
  const mm = await kernel.createMm('vmm')
  const ram = await mm.mmap({ length: pages * PAGE_SIZE, shared: options.shared ?? false })
  const vcpus: Vcpu[] = []
  let vm: Vm | null = null
  if (options.vm !== null) {
    vm = await (parts.vm ?? Vm).create(mm, options.vm ?? {})
    await vm.setMemslot({
      id: 0,
      gpa: FIRST_GFN * PAGE_SIZE,
      length: ram.length,
      hva: ram.start,
      flags: options.slotFlags ?? 0,
    })
    for (let id = 0; id < (options.vcpus ?? 1); id++) vcpus.push(vm.createVcpu({ tlb: { entries: 16 } }))
  }
  // A world without a VM has none to name: its tasks do not ask.
  return { kernel, parts, mm, ram: ram.start, pages, vm: vm!, vcpus, vcpu: vcpus[0]!, thread: mm.createThread() }
}

/** Takes the world down: whatever is still counted or mapped after this is a leak. */
export async function takeDown(world: World): Promise<void> {
  for (const vcpu of world.vcpus) vcpu.exitGuest()
  await (world.vm as Vm | null)?.destroy()
  if (world.mm.users > 0) await world.mm.exit()
}

/** Host address of a page of guest memory. */
export const pageOf = (world: Pick<World, 'ram'>, page: number): number => world.ram + page * PAGE_SIZE

type Guest = Pick<World, 'kernel' | 'mm' | 'vcpu'>

/** One guest store of 8 bytes to the start of a page, as a run loop does it. */
export async function guestStore(world: Guest, page: number, value: bigint, vcpu: Vcpu = world.vcpu): Promise<string> {
  const { kernel, mm } = world
  for (;;) {
    await vcpu.enterGuest()
    const at = vcpu.translateWrite(gvnOf(gva(BigInt(FIRST_GFN + page) << 12n)))
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
export async function guestLoad(world: Guest, page: number, vcpu: Vcpu = world.vcpu): Promise<bigint | string> {
  const { kernel, mm } = world
  for (;;) {
    await vcpu.enterGuest()
    const at = vcpu.translateRead(gvnOf(gva(BigInt(FIRST_GFN + page) << 12n)))
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

/** One access of a vCPU's program: a load, or a store of a value. */
export type GuestAccess = { readonly load: number } | { readonly store: number; readonly value: bigint }

/**
 * A vCPU's task: a short program of accesses. Between two of them the vCPU stays in guest mode, where it can be kicked.
 * @throws KernelError never: an access that the host refuses is given up
 */
export async function runGuest(world: World, program: readonly GuestAccess[], vcpu: Vcpu = world.vcpu): Promise<void> {
  const { sched } = world.kernel
  try {
    for (const access of program) {
      if (sched.contended) await sched.point(vcpu, 'w', 'between two guest instructions')
      if ('load' in access) await guestLoad(world, access.load, vcpu)
      else await guestStore(world, access.store, access.value, vcpu)
    }
  } finally {
    vcpu.exitGuest()
  }
}
