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
import type { HostThread, KernelOptions, Mapping, Mm } from '../host/index.ts'
import { MISS_GUEST_FAULT, Vm } from '../mmu/index.ts'
import type { Vcpu, VmOptions } from '../mmu/index.ts'
import { createSrcu } from '../notifier/index.ts'

/** Frame of the first page of guest memory. */
export const FIRST_GFN = 0x80000

/** Pages of guest memory in a world that does not say. */
export const DEFAULT_PAGES = 4

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
  /** 40 frames unless it says otherwise. */
  readonly kernel?: KernelOptions
  /** Pages of guest memory, mapped in the mm. Default 4. */
  readonly pages?: number
  /** They are shared memory, or a shared file on the disk. Default false: anonymous and private. */
  readonly shared?: boolean | 'disk'
  /** Options of the VM; null for a world without one. */
  readonly vm?: VmOptions | null
  /** Flags of its memslot (KVM_MEM_*). Default 0. */
  readonly slotFlags?: number
  /** vCPUs of the VM. Default 1. */
  readonly vcpus?: number
  /**
   * The guest's own page tables, in guest memory behind the pages: none (Bare mode), one table with a 1 GiB leaf, or
   * three with leaves of 4 KiB. They map each page of guest memory to itself, the small ones the first eight. Default
   * `none`.
   */
  readonly guestTables?: 'none' | 'gigapage' | 'small'
  /** Allocations that may fail while the tasks run. Default 0. */
  readonly failures?: number
}

/** A world, while its first task runs. */
export interface World {
  readonly kernel: Kernel
  readonly parts: WorldParts
  readonly mm: Mm
  /** First byte of guest memory in the mm. */
  readonly ram: number
  /** Pages of guest memory, without the guest's page tables. */
  readonly pages: number
  /** Page tables of the guest that lie behind them, a page each: the root first, the table of leaves last. */
  readonly tables: number
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
  return new (parts.kernel ?? Kernel)({ frames: 40, ...options.kernel })
}

/** Builds the world; in a task of its kernel. */
export async function buildWorld(kernel: Kernel, options: WorldOptions = {}, parts: WorldParts = {}): Promise<World> {
  const pages = options.pages ?? DEFAULT_PAGES
  const tables = TABLES[options.guestTables ?? 'none']
  const mm = await kernel.createMm('vmm')
  const ram = await mapMemory(mm, (pages + tables) * PAGE_SIZE, options.shared ?? false)
  const thread = mm.createThread()
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
  const world = { kernel, parts, mm, ram: ram.start, pages, tables, vm: vm!, vcpus, vcpu: vcpus[0]!, thread }
  if (tables > 0) await writeGuestTables(world)
  return world
}

const HUGE = 0x20_0000

async function mapMemory(mm: Mm, length: number, shared: boolean | 'disk'): Promise<Mapping> {
  // Memory that can be huge begins where a huge page can.
  const place = length >= HUGE ? { addr: HUGE * 512 } : {}
  if (shared !== 'disk') return await mm.mmap({ length, shared, ...place })
  const file = mm.kernel.createFile({ size: length, storage: 'disk' })
  const mapping = await mm.mmap({ length, shared: true, file })
  await file.put()
  return mapping
}

const TABLES = { none: 0, gigapage: 1, small: 3 } as const

/** V, R, W, X, A and D of a guest's leaf. */
export const GUEST_LEAF = 0xcfn
const GUEST_TABLE = 1n
/** Index of the guest's memory in its root table: 1 GiB an entry. */
const ROOT_INDEX = FIRST_GFN >> 18

/** A guest PTE. @param flags `GUEST_LEAF` less what it shall not have */
export const guestPte = (frame: number, flags: bigint): bigint => (BigInt(frame) << 10n) | flags

/** Host address of a guest PTE: the one that maps `page`, in the table of leaves. */
export function guestPteAddress({ ram, pages, tables }: Pick<World, 'ram' | 'pages' | 'tables'>, page: number): number {
  return ram + (pages + tables - 1) * PAGE_SIZE + 8 * (tables === 1 ? ROOT_INDEX : page)
}

/** As the guest's kernel would at boot; then every vCPU loads satp. */
async function writeGuestTables(world: World): Promise<void> {
  const { pages, tables, thread, ram, vcpus } = world
  const root = FIRST_GFN + pages
  if (tables === 1) {
    await thread.store64(guestPteAddress(world, 0), guestPte(FIRST_GFN, GUEST_LEAF))
  } else {
    await thread.store64(ram + pages * PAGE_SIZE + 8 * ROOT_INDEX, guestPte(root + 1, GUEST_TABLE))
    await thread.store64(ram + (pages + 1) * PAGE_SIZE, guestPte(root + 2, GUEST_TABLE))
    for (let page = 0; page < Math.min(pages + tables, 8); page++) {
      await thread.store64(guestPteAddress(world, page), guestPte(FIRST_GFN + page, GUEST_LEAF))
    }
  }
  for (const vcpu of vcpus) vcpu.setSatp((8n << 60n) | BigInt(root))
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

/**
 * One guest store of 8 bytes, as a run loop does it.
 * @param page page of guest memory, offset from its start in bytes
 * @returns ok, or what came of it: mmio, efault, oom, guest-fault for an exception of the guest's own
 */
export async function guestStore(
  { kernel, mm, ...world }: Guest,
  page: number,
  value: bigint,
  vcpu: Vcpu = world.vcpu,
  offset: number = 0,
): Promise<string> {
  for (;;) {
    await vcpu.enterGuest()
    const at = vcpu.translateWrite(gvnOf(gva(BigInt(FIRST_GFN + page) << 12n)))
    if (at !== -1) {
      kernel.memory.write64(hpa(at + offset), value)
      const hva = vcpu.vm.hvaOfFrame(vcpu.frame as Gfn) + offset
      kernel.trace.emit({ name: 'mem_store', mm: mm.id, vcpu: vcpu.id, hva, size: 8, value, hpa: at + offset })
      return 'ok'
    }
    if (vcpu.missKind === MISS_GUEST_FAULT) return 'guest-fault'
    // Under shadow paging a store to a page table of the guest is carried out for it.
    const outcome = await vcpu.handleMiss({ offset, size: 8, value })
    if (outcome === 'stored') return 'ok'
    if (outcome !== 'retry') return outcome
  }
}

/** One guest load of 8 bytes from the start of a page. @returns the value, or what came of it */
export async function guestLoad(
  { kernel, mm, ...world }: Guest,
  page: number,
  vcpu: Vcpu = world.vcpu,
): Promise<bigint | string> {
  for (;;) {
    await vcpu.enterGuest()
    const at = vcpu.translateRead(gvnOf(gva(BigInt(FIRST_GFN + page) << 12n)))
    if (at !== -1) {
      const value = kernel.memory.read64(hpa(at))
      const hva = vcpu.vm.hvaOfFrame(vcpu.frame as Gfn)
      kernel.trace.emit({ name: 'mem_load', mm: mm.id, vcpu: vcpu.id, hva, size: 8, value, hpa: at })
      return value
    }
    if (vcpu.missKind === MISS_GUEST_FAULT) return 'guest-fault'
    const outcome = await vcpu.handleMiss()
    if (outcome !== 'retry') return outcome
  }
}

/** One step of a vCPU's program: a load, a store of a value, a store to a PTE of its own, or an sfence.vma of everything. */
export type GuestAccess =
  | { readonly load: number }
  | { readonly store: number; readonly value: bigint }
  | { readonly pte: number; readonly value: bigint }
  | { readonly fence: 'all' }

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
      else if ('store' in access) await guestStore(world, access.store, access.value, vcpu)
      else if ('fence' in access) vcpu.sfenceVma(-1, -1)
      else await storePte(world, access.pte, access.value, vcpu)
    }
  } finally {
    vcpu.exitGuest()
  }
}

/** The guest stores to its PTE for a page. */
async function storePte(world: World, page: number, value: bigint, vcpu: Vcpu): Promise<void> {
  const address = guestPteAddress(world, page) - world.ram
  await guestStore(world, Math.floor(address / PAGE_SIZE), value, vcpu, address % PAGE_SIZE)
}
