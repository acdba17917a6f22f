/**
 * The kernel: everything that one simulated machine has once, and the registry of what it has many of.
 *
 * R1 All changing state hangs off this object: two kernels live side by side, and a run can be repeated.
 * R2 There is one SRCU for the callouts of all its mms (Linux: the static `srcu` of mm/mmu_notifier.c).
 * R3 Frames above `frames` are the devices': swap slots, then disk blocks. Nobody maps them.
 */
import { KernelBug, KernelError, MiB, PAGE_SIZE } from '../base/index.ts'
import type { Hva, Pfn, Random, Trace } from '../base/index.ts'
import { PhysicalMemory } from '../hardware/index.ts'
import { createSrcu, mmuNotifierSrcu } from '../notifier/index.ts'
import type { Srcu, SrcuKind } from '../notifier/index.ts'
import { Mutex, Scheduler } from '../sched/index.ts'
import type { Policy, SpawnOptions, Task } from '../sched/index.ts'
import { AddressSpace } from './address-space.ts'
import type { FileStorage } from './address-space.ts'
import { AnonVma } from './anon-vma.ts'
import { leakReport } from './balance.ts'
import { Disk } from './disk.ts'
import { Ksm } from './ksm.ts'
import { mmAllLocksMutex } from './locks.ts'
import { Lru } from './lru.ts'
import { Mm } from './mm.ts'
import { PageAllocator } from './page-allocator.ts'
import { PG_DIRTY, PG_IDLE, PG_REFERENCED, PageMap } from './page.ts'
import { dropRmapLocks, takeRmapLocks } from './mremap.ts'
import { tryToUnmapOne } from './rmap.ts'
import { MemorySwapDevice, Swap } from './swap.ts'
import type { SwapDevice } from './swap.ts'
import type { Vma } from './vma.ts'
import { Reclaim } from './vmscan.ts'

export interface KernelOptions {
  /** Frames of 4 KiB that the host may use, 16 to 2^19. Default 4096 (16 MiB). */
  readonly frames?: number
  /** Physical memory of a kernel that is gone, to be used again: making it costs more than clearing it. */
  readonly memory?: PhysicalMemory
  /** Seed of every random choice. Default 1. */
  readonly seed?: number
  /** CPUs that tasks are spread over. Default 2. */
  readonly cpus?: number
  /** Who runs next. Default `fifo()`. */
  readonly policy?: Policy
  /** `sleep`: hooks called under the page-table lock may sleep. `spin`: as in Linux they may not. Default `sleep`. */
  readonly pageTableLock?: 'sleep' | 'spin'
  /** Implementation of the SRCU. Default `tiny`. */
  readonly srcu?: SrcuKind
  /** Pages of swap in memory. Default 0: none. */
  readonly swapPages?: number
  /** A swap device of the caller's own, instead. */
  readonly swapDevice?: SwapDevice
  /** Blocks of the disk behind `disk` files. Default 0. */
  readonly diskPages?: number
  /** change_pte inside a start/end window (v3.7), or without one (the seed's commit). Default `bracketed`. */
  readonly changePte?: 'bracketed' | 'unbracketed'
  /** Bytes behind the frames for the tables of execution engines. Default: an eighth of the frames, at most 16 MiB. */
  readonly scratchBytes?: number
  /** Called when the surrounding program has had its turn. */
  readonly onTurn?: () => void
}

/** The options that the rooms below read. Immutable. */
export interface HostOptions {
  readonly pageTableLock: 'sleep' | 'spin'
  readonly changePte: 'bracketed' | 'unbracketed'
}

export interface FileOptions {
  /** For reports. */
  readonly name?: string
  /** Bytes. Default 0. */
  readonly size?: number
  /** `memory`: a memfd; `disk`: backed by blocks. Default `memory`. */
  readonly storage?: FileStorage
}

const MAX_FRAMES: number = 2 ** 19

function memoryOf(frames: number, scratchBytes: number, again: PhysicalMemory | undefined): PhysicalMemory {
  if (again?.frames !== frames || again.scratchBytes !== scratchBytes)
    return new PhysicalMemory(frames, { scratchBytes })
  again.clear()
  return again
}
const MAX_SCRATCH: number = 16 * MiB

export class Kernel {
  readonly options: HostOptions
  readonly sched: Scheduler
  readonly trace: Trace
  readonly random: Random
  readonly memory: PhysicalMemory
  readonly pages: PageMap
  readonly lru: Lru
  readonly allocator: PageAllocator
  readonly reclaim: Reclaim
  readonly swap: Swap
  readonly disk: Disk
  readonly ksm: Ksm
  /** The one SRCU of all notifier callouts. */
  readonly srcu: Srcu
  /** Serialises those who take all rmap locks of an mm. */
  readonly mmAllLocks: Mutex
  /** The frame that all untouched anonymous memory shows to readers; it has no reference count. Immutable. */
  readonly zeroPfn: Pfn
  /** Every mm that is not destroyed, in the order of creation. */
  readonly mms: Set<Mm> = new Set()
  readonly files: Set<AddressSpace> = new Set()
  /** For the rooms above: their VMs. */
  readonly vms: Set<object> = new Set()
  /** Ids given to VMs so far. */
  lastVmId = 0
  private lastMmId = 0
  private lastFileId = 0
  private lastAnonVmaId = 0

  /** @throws KernelError EINVAL for an option out of range, ENOMEM when the memory cannot be had */
  constructor(options: KernelOptions = {}) {
    const frames = checkCount('frames', options.frames ?? 4096, 16, MAX_FRAMES)
    const swapPages = checkCount('swapPages', options.swapPages ?? 0, 0, MAX_FRAMES)
    const diskPages = checkCount('diskPages', options.diskPages ?? 0, 0, MAX_FRAMES)
    this.options = {
      pageTableLock: checkChoice('pageTableLock', options.pageTableLock ?? 'sleep', ['sleep', 'spin']),
      changePte: checkChoice('changePte', options.changePte ?? 'bracketed', ['bracketed', 'unbracketed']),
    }
    const srcu = checkChoice('srcu', options.srcu ?? 'tiny', ['tiny', 'classic', 'counted'])
    const { seed, cpus, policy, onTurn } = options
    this.sched = new Scheduler({
      ...(seed === undefined ? {} : { seed }),
      ...(cpus === undefined ? {} : { cpus }),
      ...(policy === undefined ? {} : { policy }),
      ...(onTurn === undefined ? {} : { onTurn }),
    })
    this.trace = this.sched.trace
    this.random = this.sched.random
    const scratchBytes = options.scratchBytes ?? Math.min((frames * PAGE_SIZE) / 8, MAX_SCRATCH)
    this.memory = memoryOf(frames + swapPages + diskPages, scratchBytes, options.memory)
    this.pages = new PageMap(this.sched, frames)
    this.lru = new Lru(this.pages)
    this.reclaim = this.newReclaim()
    this.allocator = new PageAllocator(this.pages, this.lru, this.trace, this.reclaim)
    this.swap = new Swap(this, options.swapDevice ?? new MemorySwapDevice(this.memory, frames, swapPages))
    this.disk = new Disk(this.memory, frames + swapPages, diskPages)
    this.ksm = new Ksm(this)
    this.srcu = this.newSrcu(srcu)
    this.mmAllLocks = new Mutex(this.sched, mmAllLocksMutex)
    this.zeroPfn = this.allocator.tryAllocPages(0, 'zero', 0) as Pfn
  }

  /** Runs `body` as the first task, and what it spawns, to the end. See `Scheduler.run`. */
  run<T>(body: () => Promise<T>, name: string = 'main'): Promise<T> {
    return this.sched.run(name, body)
  }

  /** Starts a task. */
  spawn(name: string, body: () => Promise<void>, options?: SpawnOptions): Task {
    return this.sched.spawn(name, body, options)
  }

  /**
   * A new, empty address space with one user, the caller. May reclaim.
   * @throws KernelError ENOMEM
   */
  async createMm(name: string = `mm${this.lastMmId + 1}`, parent: Mm | null = null): Promise<Mm> {
    const root = await this.allocator.allocPages(0, 'table', this.lastMmId + 1)
    const mm = this.newMm(++this.lastMmId, name, root)
    this.mms.add(mm)
    if (this.trace.on) this.trace.emit({ name: 'mm_create', mm: mm.id, parent: parent?.id ?? 0 })
    return mm
  }

  /** A file in memory or on disk, with one user, the caller; `file.put()` closes it. */
  createFile(options: FileOptions = {}): AddressSpace {
    const { size = 0, storage = 'memory' } = options
    if (!Number.isInteger(size) || size < 0)
      throw new KernelError('EINVAL', `createFile: size ${size}: expected 0 or more`)
    const id = ++this.lastFileId
    const file = new AddressSpace(this, id, options.name ?? `file${id}`, size, storage)
    this.files.add(file)
    return file
  }

  // Pages.

  /** One more reference to a page that the caller can name safely. The zero page is not counted. */
  getPage(pfn: Pfn): void {
    if (pfn !== this.zeroPfn) this.pages.get(pfn)
  }

  /** Drops a reference that `faultInPage` or `getPage` took; the last one frees the frame. */
  putPage(pfn: Pfn): void {
    if (pfn !== this.zeroPfn) this.allocator.put(pfn)
  }

  /** A client dropped a translation through which the page was written (kvm_set_pfn_dirty). In range start at the latest. */
  setPageDirty(pfn: Pfn): void {
    if (pfn === this.zeroPfn) throw new KernelBug('the zero page was written', 'I9')
    this.pages.set(pfn, PG_DIRTY | PG_REFERENCED)
    this.pages.clear(pfn, PG_IDLE)
  }

  /** A client dropped a translation through which the page was used (kvm_set_pfn_accessed). */
  markPageAccessed(pfn: Pfn): void {
    if (pfn === this.zeroPfn) return
    this.pages.set(pfn, PG_REFERENCED)
    this.pages.clear(pfn, PG_IDLE)
  }

  /**
   * Frees up to `wanted` pages that nobody used of late.
   * @returns pages freed
   */
  reclaimPages(wanted: number): Promise<number> {
    return this.reclaim.reclaimPages(wanted)
  }

  /** While page tables move, no rmap walk comes to them. See mremap.ts. */
  takeRmapLocks(vma: Vma): Promise<void> {
    return takeRmapLocks(vma)
  }

  dropRmapLocks(vma: Vma): void {
    dropRmapLocks(vma)
  }

  /** One place of an rmap walk that unmaps a page for reclaim. */
  tryToUnmapOne(vma: Vma, hva: Hva, pfn: Pfn): Promise<boolean> {
    return tryToUnmapOne(vma, hva, pfn)
  }

  newAnonVma(parent: AnonVma | null): AnonVma {
    return new AnonVma(this.sched, ++this.lastAnonVmaId, parent)
  }

  /** Frames in use that nobody accounts for, and counts that do not agree, a line each. See balance.ts. */
  leakReport(): string[] {
    return leakReport(this)
  }

  /** @throws KernelBug I14 with the leak report, unless it is empty */
  assertBalanced(): void {
    const lines = leakReport(this)
    if (lines.length > 0) throw new KernelBug(`pages do not balance:\n${lines.join('\n')}`, 'I14')
  }

  /** The class of its reclaim. Called by the constructor: fields of a subclass are not set yet. */
  protected newReclaim(): Reclaim {
    return new Reclaim(this)
  }

  /** The SRCU of all notifier callouts. Called by the constructor: fields of a subclass are not set yet. */
  protected newSrcu(kind: SrcuKind): Srcu {
    return createSrcu(kind, this.sched, { name: 'mmu_notifier_srcu', lockClass: mmuNotifierSrcu })
  }

  /** The class of its mms. */
  protected newMm(id: number, name: string, root: Pfn): Mm {
    return new Mm(this, id, name, root)
  }
}

function checkCount(name: string, value: number, low: number, high: number): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value
  throw new KernelError('EINVAL', `${name} is ${value}: expected ${low} to ${high} (pages of ${PAGE_SIZE} bytes)`)
}

function checkChoice<T extends string>(name: string, value: T, choices: readonly T[]): T {
  if (choices.includes(value)) return value
  throw new KernelError('EINVAL', `${name} is '${value}': expected ${choices.map((c) => `'${c}'`).join(' or ')}`)
}
