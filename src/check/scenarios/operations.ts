/** What the host does to a page of guest memory: every operation that takes it away, replaces it or asks about it. */
import { KernelBug, PAGE_SIZE } from '../../base/index.ts'
import type { Invariant, Pfn } from '../../base/index.ts'
import {
  clearReferences,
  fsync,
  isPageIdle,
  isPageYoung,
  migratePage,
  oomReapMm,
  ptePfn,
  pteValid,
  setPageIdle,
  truncateFile,
  writeFile,
} from '../../host/index.ts'
import type { AddressSpace, Mm } from '../../host/index.ts'
import { pageOf } from '../world.ts'
import type { GuestAccess, World, WorldOptions } from '../world.ts'

/** An operation, and the world that it needs. */
export interface Operation {
  readonly name: string
  readonly what: string
  readonly invariants: readonly Invariant[]
  /** One page of private memory unless it says otherwise. The first page holds 1. */
  readonly world?: WorldOptions
  /** What must have happened before; the guest has not run yet. */
  readonly prepare?: (world: World) => Promise<Mm | null>
  readonly run: (world: World) => Promise<void>
  /** What the vCPU does meanwhile. Default: a load, a store, a load. */
  readonly guest?: readonly GuestAccess[]
}

/** Of long operations: the fault of a store, and a load that sees it. */
export const STORE_FIRST: readonly GuestAccess[] = [{ store: 0, value: 5n }, { load: 0 }]

async function withChild({ mm }: World): Promise<Mm> {
  return await mm.fork('child')
}

/** Two equal pages, seen by KSM once: it merges what it finds unchanged. */
async function twins(world: World): Promise<null> {
  await world.thread.store64(pageOf(world, 1), 1n)
  await world.mm.madvise(world.ram, 2 * PAGE_SIZE, 'mergeable')
  await world.kernel.ksm.scan()
  return null
}

/** 2 MiB of memory, and room for a second copy of them. */
const HUGE_WORLD: WorldOptions = { pages: 512, kernel: { frames: 1100 } }
const HUGE_SIZE = 512 * PAGE_SIZE

/** The memory becomes one huge page. */
async function collapsed(world: World): Promise<null> {
  await world.mm.madvise(world.ram, HUGE_SIZE, 'collapse')
  return null
}

/** The frame of the first page, or -1. */
function frameOf({ mm, ram }: World): Pfn | -1 {
  const pte = mm.pageTable.read(ram)
  return pteValid(pte) ? ptePfn(pte) : -1
}

/** The file behind the guest's memory. */
function fileOf({ mm, ram }: World): AddressSpace {
  const file = mm.vmas.lookup(ram)?.file
  if (file === null || file === undefined) throw new KernelBug('this world has no file behind its memory')
  return file
}

export const operations: readonly Operation[] = [
  {
    name: 'unmap',
    what: 'munmap of the page',
    invariants: ['I1', 'I2', 'I10'],
    run: (world) => world.mm.munmap(pageOf(world, 0), PAGE_SIZE),
  },
  {
    name: 'dontneed',
    what: 'madvise(MADV_DONTNEED) of the page',
    invariants: ['I1', 'I2', 'I7', 'I10'],
    run: (world) => world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'dontneed'),
  },
  {
    name: 'mprotect',
    what: 'mprotect to read-only, and back',
    invariants: ['I1', 'I9', 'I10'],
    async run(world) {
      await world.mm.mprotect(pageOf(world, 0), PAGE_SIZE, 'r')
      await world.mm.mprotect(pageOf(world, 0), PAGE_SIZE, 'rw')
    },
  },
  ...(['bracketed', 'unbracketed'] as const).map((changePte) => ({
    name: changePte === 'bracketed' ? 'cow-break' : 'cow-break-unbracketed',
    what: `a host thread breaks copy-on-write, change_pte ${changePte}`,
    invariants: ['I1', 'I2', 'I7', 'I9'] as const,
    world: { kernel: { changePte } },
    prepare: withChild,
    run: (world: World) => world.thread.store64(pageOf(world, 0), 0x77n),
  })),
  {
    name: 'ksm-merge',
    what: 'KSM merges the page with an equal one',
    invariants: ['I1', 'I2', 'I7', 'I9'],
    world: { pages: 2 },
    prepare: twins,
    guest: STORE_FIRST,
    async run(world) {
      await world.kernel.ksm.scan()
    },
  },
  {
    name: 'swap',
    what: 'swap-out, swap-in, and another page in the slot that it left',
    invariants: ['I1', 'I2', 'I3', 'I7'],
    world: { pages: 2, kernel: { swapPages: 2 } },
    guest: STORE_FIRST,
    async prepare(world) {
      await world.thread.store64(pageOf(world, 1), 2n)
      return null
    },
    async run(world) {
      await world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'pageout')
      await world.thread.load64(pageOf(world, 0))
      await world.mm.madvise(pageOf(world, 1), PAGE_SIZE, 'pageout')
    },
  },
  {
    name: 'reclaim',
    what: 'reclaim ages the page and takes it',
    invariants: ['I1', 'I2', 'I3', 'I4'],
    world: { kernel: { swapPages: 4 } },
    async run(world) {
      await world.kernel.reclaimPages(1)
    },
  },
  {
    name: 'fork',
    what: 'fork, a store of the child, its exit',
    invariants: ['I1', 'I7', 'I9'],
    guest: STORE_FIRST,
    async run(world) {
      const child = await world.mm.fork('child')
      await child.createThread().store64(pageOf(world, 0), 0x99n)
      await child.exit()
    },
  },
  {
    name: 'migrate',
    what: 'the page moves to another frame',
    invariants: ['I1', 'I2', 'I7'],
    async run(world) {
      const pfn = frameOf(world)
      if (pfn !== -1) await migratePage(world.kernel, pfn)
    },
  },
  {
    name: 'ksm-break',
    what: 'a host thread stores to one of two merged pages',
    invariants: ['I1', 'I2', 'I7', 'I9'],
    world: { pages: 2 },
    async prepare(world) {
      await twins(world)
      await world.kernel.ksm.scan()
      await world.kernel.ksm.scan()
      return null
    },
    run: (world) => world.thread.store64(pageOf(world, 0), 0x77n),
  },
  {
    name: 'free',
    what: 'madvise(MADV_FREE), and reclaim that drops the page',
    invariants: ['I1', 'I2', 'I3', 'I7'],
    async run(world) {
      await world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'free')
      await world.kernel.reclaimPages(1)
    },
  },
  {
    name: 'cold',
    what: 'madvise(MADV_COLD), and reclaim that looks whether the page is used',
    invariants: ['I1', 'I2', 'I3', 'I4'],
    world: { kernel: { swapPages: 4 } },
    async run(world) {
      await world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'cold')
      await world.kernel.reclaimPages(1)
    },
  },
  {
    name: 'idle',
    what: 'page_idle marks the page, looks again, and DAMON asks',
    invariants: ['I1', 'I4'],
    async run(world) {
      const pfn = frameOf(world)
      if (pfn === -1) return
      await setPageIdle(world.kernel, pfn)
      await isPageYoung(world.kernel, pfn)
      await isPageIdle(world.kernel, pfn)
    },
  },
  {
    name: 'clear-refs',
    what: '/proc/pid/clear_refs, and reclaim that looks whether the page is used',
    invariants: ['I1', 'I3', 'I4'],
    world: { kernel: { swapPages: 4 } },
    async run(world) {
      await clearReferences(world.mm)
      await world.kernel.reclaimPages(1)
    },
  },
  {
    name: 'mremap',
    what: 'mremap moves the page elsewhere',
    invariants: ['I1', 'I2', 'I7', 'I10'],
    async run(world) {
      await world.mm.mremap(pageOf(world, 0), PAGE_SIZE, PAGE_SIZE, { to: 0x10_0000 })
    },
  },
  {
    name: 'mmap-fixed',
    what: 'mmap(MAP_FIXED) in place of the page',
    invariants: ['I1', 'I2', 'I7', 'I10'],
    async run(world) {
      await world.mm.mmap({ addr: pageOf(world, 0), length: PAGE_SIZE, fixed: true })
    },
  },
  {
    name: 'punch-hole',
    what: 'madvise(MADV_REMOVE) of shared memory',
    invariants: ['I1', 'I2', 'I7', 'I10'],
    world: { shared: true },
    run: (world) => world.mm.madvise(pageOf(world, 0), PAGE_SIZE, 'remove'),
  },
  {
    name: 'truncate',
    what: 'the file behind the memory becomes empty, and long again',
    invariants: ['I1', 'I2', 'I7', 'I10'],
    world: { shared: true },
    async run(world) {
      const file = fileOf(world)
      const { size } = file
      await truncateFile(file, 0)
      await truncateFile(file, size)
    },
  },
  {
    name: 'fsync',
    what: 'the page is written back to the disk, and cleaned before',
    invariants: ['I1', 'I3', 'I7', 'I9'],
    world: { shared: 'disk', kernel: { diskPages: 8 } },
    run: (world) => fsync(fileOf(world)),
  },
  {
    name: 'write-file',
    what: 'write(2) to the file that the guest has mapped',
    invariants: ['I1', 'I7'],
    world: { shared: true },
    run: (world) => writeFile(fileOf(world), 0, Uint8Array.of(9)),
  },
  {
    name: 'oom-reap',
    what: 'the OOM reaper takes the memory without blocking',
    invariants: ['I1', 'I2', 'I6', 'I13'],
    async run(world) {
      await oomReapMm(world.mm)
    },
  },
  {
    name: 'exit',
    what: 'exit of the mm',
    invariants: ['I1', 'I2', 'I5'],
    run: (world) => world.mm.exit(),
  },
  {
    name: 'huge-collapse',
    what: 'madvise(MADV_COLLAPSE) makes a huge page of the memory',
    invariants: ['I1', 'I2', 'I7', 'I10'],
    world: HUGE_WORLD,
    run: (world) => world.mm.madvise(world.ram, HUGE_SIZE, 'collapse'),
  },
  {
    name: 'huge-split',
    what: 'a huge page is split, since one of its pages is taken away',
    invariants: ['I1', 'I2', 'I7', 'I10'],
    world: HUGE_WORLD,
    prepare: collapsed,
    run: (world) => world.mm.madvise(pageOf(world, 1), PAGE_SIZE, 'dontneed'),
  },
  {
    name: 'huge-dontneed',
    what: 'a huge page is taken away',
    invariants: ['I1', 'I2', 'I7', 'I10'],
    world: HUGE_WORLD,
    prepare: collapsed,
    run: (world) => world.mm.madvise(world.ram, HUGE_SIZE, 'dontneed'),
  },
]
