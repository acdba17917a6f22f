/**
 * The order of callouts, page-table changes, host flushes and frees in every operation, as Linux 6.12 has it.
 *
 * A row reads: `S EVENT pages [locks held]` a window opens, `E` it closes, `-p` a PTE of page p is cleared, `+p` set
 * read-only, `+p!` set writable, `flush` the host TLBs, `free kind`, and names of other hooks. Pages count from the start of
 * the region under test; what happens elsewhere is left out.
 */
import test from 'ava'
import { PAGE_SIZE } from '../../src/base/index.ts'
import type { TraceEvent } from '../../src/base/index.ts'
import {
  Kernel,
  clearSoftDirty,
  fsync,
  migratePage,
  oomReapMm,
  ptePfn,
  punchHole,
  setPageIdle,
  truncateFile,
} from '../../src/host/index.ts'
import type { AddressSpace, HostThread, KernelOptions, Mm } from '../../src/host/index.ts'
import { EAGAIN, mmuNotifierRegister, mmuNotifierUnregister } from '../../src/notifier/index.ts'
import type { MmuNotifierOps, MmuNotifierRange } from '../../src/notifier/index.ts'

const PAGES = 4

/** Writes down what happens to one region. */
class Recorder implements MmuNotifierOps {
  readonly name = 'recorder'
  readonly rows: string[] = []
  on = false
  start = 0
  private readonly kernel: Kernel
  mm: Mm | null = null

  constructor(kernel: Kernel) {
    this.kernel = kernel
    kernel.trace.attach((event) => this.event(event))
  }

  invalidateRangeStart(range: MmuNotifierRange): void {
    if (!this.on) return
    const pages = range.end - range.start > 2 ** 30 ? 'all' : `${this.page(range.start)}..${this.page(range.end)}`
    this.rows.push(`S ${range.event} ${pages} [${this.locks()}]`)
  }

  invalidateRangeEnd(): void {
    if (this.on) this.rows.push('E')
  }

  clearFlushYoung(): boolean {
    if (this.on) this.rows.push(`clear_flush_young [${this.locks()}]`)
    return false
  }

  clearYoung(): boolean {
    if (this.on) this.rows.push(`clear_young [${this.locks()}]`)
    return false
  }

  changePte(): void {
    if (this.on) this.rows.push(`change_pte [${this.locks()}]`)
  }

  release(): void {
    if (this.on) this.rows.push(`release [${this.locks()}]`)
  }

  private page(hva: number): number {
    return (hva - this.start) / PAGE_SIZE
  }

  private locks(): string {
    return this.kernel.sched.current.held
      .filter((lock) => !lock.name.includes('srcu') && !lock.name.includes('subscriptions'))
      .map((lock) => {
        const short = lock.lockClass.name
          .replace('i_rwsem', 'inode')
          .replace('_rwsem', '')
          .replace('folio_lock', 'page')
          .replace('page_table_lock', 'ptl')
        if (lock.lockClass.name !== 'mmap_lock') return short
        return this.mm?.mmapLock.isWriteHeldByCurrent() === true ? 'mmap W' : 'mmap R'
      })
      .join(', ')
  }

  private inside(event: { readonly mm: number; readonly hva: number }): boolean {
    const page = this.page(event.hva)
    return event.mm === this.mm?.id && page >= 0 && page < PAGES
  }

  private event(event: TraceEvent): void {
    if (!this.on) return
    switch (event.name) {
      case 'clear_pte':
        if (this.inside(event)) this.rows.push(`-${this.page(event.hva)}`)
        break
      case 'set_pte':
        if (this.inside(event)) this.rows.push(`+${this.page(event.hva)}${event.writable ? '!' : ''}`)
        break
      case 'tlb_flush':
        if (event.mm === this.mm?.id) this.rows.push('flush')
        break
      case 'mm_page_free':
        if (event.kind !== 'table') this.rows.push(`free ${event.kind}`)
        break
      case 'swap_write':
        this.rows.push('swap write')
        break
      case 'cow_copy':
        this.rows.push('copy')
        break
      default:
    }
  }
}

interface Scene {
  readonly kernel: Kernel
  readonly mm: Mm
  readonly thread: HostThread
  readonly start: number
  readonly file: AddressSpace
  readonly recorder: Recorder
  /** The whole region, in bytes. */
  readonly length: number
  readonly page: (index: number) => number
}

type Backing = 'anonymous' | 'huge' | 'untouched' | 'shared' | 'private' | 'disk'

interface Row {
  readonly operation: string
  readonly backing?: Backing
  readonly options?: KernelOptions
  readonly prepare?: (scene: Scene) => Promise<unknown>
  readonly act: (scene: Scene) => Promise<unknown>
  readonly order: readonly string[]
}

async function play(row: Row): Promise<readonly string[]> {
  const kernel = new Kernel({
    frames: row.backing === 'huge' ? 1200 : 256,
    swapPages: 32,
    diskPages: 32,
    ...row.options,
  })
  const recorder = new Recorder(kernel)
  await kernel.run(async () => {
    const backing = row.backing ?? 'anonymous'
    const mm = await kernel.createMm('mm')
    const length = PAGES * PAGE_SIZE
    const file = kernel.createFile({ size: length, storage: backing === 'disk' ? 'disk' : 'memory' })
    const shared = backing === 'shared' || backing === 'disk'
    const mapped = shared || backing === 'private'
    const { start } = await mm.mmap({ addr: 0x4000_0000, fixed: true, length, ...(mapped ? { file, shared } : {}) })
    if (backing === 'huge') {
      await mm.mmap({ addr: start, fixed: true, length: 512 * PAGE_SIZE })
      await mm.madvise(start, 512 * PAGE_SIZE, 'hugepage')
    }
    const thread = mm.createThread()
    const page = (index: number): number => start + index * PAGE_SIZE
    for (let i = 0; i < 2; i++) {
      if (backing === 'private') await thread.load8(page(i))
      else if (backing !== 'untouched') await thread.store8(page(i), i + 1)
    }
    const scene = { kernel, mm, thread, start, file, recorder, length, page }
    recorder.mm = mm
    recorder.start = start
    const notifier = await mmuNotifierRegister(recorder, mm)
    await row.prepare?.(scene)
    recorder.on = true
    await row.act(scene)
    recorder.on = false
    if (mm.users > 0) await mm.exit()
    await mmuNotifierUnregister(notifier, mm)
    await file.put()
  })
  return recorder.rows
}

/** Two equal pages that stood still for one scan. */
const makeEqual = async ({ kernel, mm, thread, page, length, start }: Scene): Promise<void> => {
  for (let i = 0; i < 2; i++) await thread.store8(page(i), 7)
  await mm.madvise(start, length, 'mergeable')
  await kernel.ksm.scan()
}

const table: readonly Row[] = [
  {
    operation: 'munmap',
    act: ({ mm, start, length }) => mm.munmap(start, length),
    order: ['S UNMAP 0..4 [mmap R]', '-0', '-1', 'E', 'flush', 'free anon', 'free anon'],
  },
  {
    operation: 'mmap over',
    act: ({ mm, start, length }) => mm.mmap({ addr: start, fixed: true, length }),
    order: ['S UNMAP 0..4 [mmap W]', '-0', '-1', 'E', 'flush', 'free anon', 'free anon'],
  },
  {
    operation: 'madvise dontneed',
    act: ({ mm, start, length }) => mm.madvise(start, length, 'dontneed'),
    order: ['S CLEAR 0..4 [mmap R]', '-0', '-1', 'E', 'flush', 'free anon', 'free anon'],
  },
  {
    operation: 'madvise dontneed of shared memory: a dirty page is flushed under the lock, nothing is freed',
    backing: 'shared',
    act: ({ mm, start, length }) => mm.madvise(start, length, 'dontneed'),
    order: ['S CLEAR 0..4 [mmap R]', '-0', '-1', 'flush', 'E'],
  },
  {
    operation: 'madvise free: flush after the window, nothing freed',
    act: ({ mm, start, length }) => mm.madvise(start, length, 'free'),
    order: ['S CLEAR 0..4 [mmap R]', '-0', '+0!', '-1', '+1!', 'E', 'flush'],
  },
  {
    operation: 'madvise cold: no callout',
    act: ({ mm, start, length }) => mm.madvise(start, length, 'cold'),
    order: ['flush'],
  },
  {
    operation: 'mprotect: flush after the window',
    act: ({ mm, start, length }) => mm.mprotect(start, length, 'r'),
    order: ['S PROTECTION_VMA 0..4 [mmap W]', '-0', '+0', '-1', '+1', 'E', 'flush'],
  },
  {
    operation: 'mprotect where no table is populated: no callout',
    backing: 'untouched',
    act: ({ mm, start, length }) => mm.mprotect(start, length, 'r'),
    order: [],
  },
  {
    operation: 'fork: one flush of the parent after the window',
    act: ({ mm }) => mm.fork('child'),
    order: ['S PROTECTION_PAGE 0..4 [mmap W, mmap W]', '-0', '+0', '-1', '+1', 'E', 'flush'],
  },
  {
    operation: 'fork of shared memory: no callout',
    backing: 'shared',
    act: ({ mm }) => mm.fork('child'),
    order: ['flush'],
  },
  {
    operation: 'fork of a private file mapping without copies: no callout',
    backing: 'private',
    act: ({ mm }) => mm.fork('child'),
    order: ['flush'],
  },
  {
    operation: 'COW break: copy first, change_pte before the PTE, old page put after the window',
    prepare: async ({ mm }) => {
      const child = await mm.fork('child')
      await child.exit()
      // A second child keeps the pages shared.
      await mm.fork('child2')
    },
    act: ({ thread, page }) => thread.store8(page(0), 9),
    order: ['copy', 'S CLEAR 0..1 [mmap R]', '-0', 'flush', 'change_pte [mmap R, ptl]', '+0!', 'E'],
  },
  {
    operation: 'COW break without a window, as at the seed commit',
    options: { changePte: 'unbracketed' },
    prepare: ({ mm }) => mm.fork('child'),
    act: ({ thread, page }) => thread.store8(page(0), 9),
    order: ['copy', '-0', 'flush', 'change_pte [mmap R, ptl]', '+0!'],
  },
  {
    operation: 'COW of the last sharer: only a right is added, no callout',
    prepare: async ({ mm }) => (await mm.fork('child')).exit(),
    act: ({ thread, page }) => thread.store8(page(0), 9),
    order: ['+0!'],
  },
  {
    operation: 'COW of the zero page',
    backing: 'untouched',
    prepare: ({ thread, page }) => thread.load8(page(0)),
    act: ({ thread, page }) => thread.store8(page(0), 9),
    order: ['copy', 'S CLEAR 0..1 [mmap R]', '-0', 'flush', 'change_pte [mmap R, ptl]', '+0!', 'E'],
  },
  {
    operation: 'first touch: no callout',
    act: ({ thread, page }) => thread.store8(page(2), 9),
    order: ['+2!'],
  },
  {
    operation:
      'reclaim: clear_flush_young under the page-table lock, after the host flush; what is old at the second look goes',
    act: ({ kernel }) => kernel.reclaimPages(1),
    order: [
      'flush',
      'clear_flush_young [page, anon_vma, ptl]',
      'flush',
      'clear_flush_young [page, anon_vma, ptl]',
      'clear_flush_young [page, anon_vma, ptl]',
      'S CLEAR 0..1 [page, anon_vma]',
      '-0',
      'flush',
      'E',
      'swap write',
      'free anon',
    ],
  },
  {
    operation: 'swap-out: window around the PTE, written and freed after it',
    act: ({ mm, page }) => mm.madvise(page(0), PAGE_SIZE, 'pageout'),
    order: ['S CLEAR 0..1 [mmap R, page, anon_vma]', '-0', 'flush', 'E', 'swap write', 'free anon'],
  },
  {
    operation: 'swap-in: no callout',
    prepare: ({ mm, page }) => mm.madvise(page(0), PAGE_SIZE, 'pageout'),
    act: ({ thread, page }) => thread.load8(page(0)),
    order: ['+0'],
  },
  {
    operation: 'page-out of shared memory goes by way of the i_mmap lock',
    backing: 'shared',
    act: ({ mm, page }) => mm.madvise(page(0), PAGE_SIZE, 'pageout'),
    order: ['S CLEAR 0..1 [mmap R, page, i_mmap]', '-0', 'flush', 'E', 'swap write', 'free file'],
  },
  {
    operation: 'write-back: the page is made read-only and clean in a window',
    backing: 'disk',
    act: ({ file }) => fsync(file),
    order: [
      'S PROTECTION_PAGE 0..1 [page, i_mmap]',
      '-0',
      'flush',
      '+0',
      'E',
      'S PROTECTION_PAGE 1..2 [page, i_mmap]',
      '-1',
      'flush',
      '+1',
      'E',
    ],
  },
  {
    operation: 'KSM: write-protect both, replace the second; its page is put inside the window',
    prepare: makeEqual,
    act: ({ kernel }) => kernel.ksm.scan(),
    order: [
      'S CLEAR 1..2 [ksm_thread_mutex, mmap R, page]',
      '-1',
      'flush',
      'change_pte [ksm_thread_mutex, mmap R, page, ptl]',
      '+1',
      'E',
      'S CLEAR 0..1 [ksm_thread_mutex, mmap R, page]',
      '-0',
      'flush',
      'change_pte [ksm_thread_mutex, mmap R, page, ptl]',
      '+0',
      'E',
      'S CLEAR 0..1 [ksm_thread_mutex, mmap R, page]',
      '-0',
      'flush',
      'change_pte [ksm_thread_mutex, mmap R, page, ptl]',
      '+0',
      'E',
      'free anon',
    ],
  },
  {
    operation: 'a part of a huge mapping goes: split in a window of its own, over all of it',
    backing: 'huge',
    act: ({ mm, page }) => mm.madvise(page(0), PAGE_SIZE, 'dontneed'),
    order: [
      'S CLEAR 0..1 [mmap R]',
      'S CLEAR 0..512 [mmap R]',
      '-0',
      '-1',
      '-2',
      '-3',
      'flush',
      '+0!',
      '+1!',
      '+2!',
      '+3!',
      'E',
      '-0',
      'E',
      'flush',
      'free anon',
    ],
  },
  {
    operation: 'mprotect of all of a huge mapping: it stays huge',
    backing: 'huge',
    act: ({ mm, start }) => mm.mprotect(start, 512 * PAGE_SIZE, 'r'),
    order: ['S PROTECTION_VMA 0..512 [mmap W]', '-0', '-1', '-2', '-3', '+0', '+1', '+2', '+3', 'E', 'flush'],
  },
  {
    operation: 'fork with a huge mapping: it stays huge, read-only',
    backing: 'huge',
    act: ({ mm }) => mm.fork('child'),
    order: ['S PROTECTION_PAGE 0..512 [mmap W, mmap W]', '-0', '-1', '-2', '-3', '+0', '+1', '+2', '+3', 'E', 'flush'],
  },
  {
    operation: 'migration: window around the entry only, none where the new page is mapped',
    act: ({ kernel, mm, page }) => migratePage(kernel, ptePfn(mm.pageTable.read(page(0)))),
    order: ['S CLEAR 0..1 [page, anon_vma]', '-0', 'flush', 'E', '+0!', 'free anon'],
  },
  {
    operation: 'mremap: window over the old range, flush before the locks drop',
    act: ({ mm, start }) => mm.mremap(start, PAGE_SIZE, PAGE_SIZE, { to: start + 64 * PAGE_SIZE }),
    order: ['S UNMAP 0..1 [mmap W]', '-0', 'flush', 'E', 'S UNMAP 0..1 [mmap W]', 'E'],
  },
  {
    operation: 'truncate: no mmap lock; page cache after the window; a second pass for private copies',
    backing: 'shared',
    act: ({ file }) => truncateFile(file, 0),
    order: [
      'S CLEAR 0..4 [inode, i_mmap]',
      '-0',
      '-1',
      'flush',
      'E',
      'free file',
      'free file',
      'S CLEAR 0..4 [inode, i_mmap]',
      'E',
    ],
  },
  {
    operation: 'hole punch: one pass',
    backing: 'shared',
    act: ({ file }) => punchHole(file, 0, PAGE_SIZE),
    order: ['S CLEAR 0..1 [inode, i_mmap]', '-0', 'flush', 'E', 'free file'],
  },
  {
    operation: 'soft-dirty clear: everything read-only in one window, flush after it',
    act: ({ mm }) => clearSoftDirty(mm),
    order: ['S SOFT_DIRTY all [mmap W]', '-0', '+0', '-1', '+1', 'E', 'flush'],
  },
  {
    operation: 'page idle: clear_young under the page-table lock, no flush',
    act: ({ kernel, mm, page }) => setPageIdle(kernel, ptePfn(mm.pageTable.read(page(0)))),
    order: ['clear_young [page, anon_vma, ptl]'],
  },
  {
    operation: 'OOM reaper',
    act: ({ mm }) => oomReapMm(mm),
    order: ['S CLEAR 0..4 [mmap R]', '-0', '-1', 'E', 'flush', 'free anon', 'free anon'],
  },
  {
    operation: 'exit: release before anything else, nothing but release for a client',
    act: ({ mm }) => mm.exit(),
    order: ['release []', '-0', '-1', 'flush', 'free anon', 'free anon'],
  },
]

for (const row of table) {
  test(`order of ${row.operation}`, async (t) => {
    t.deepEqual(await play(row), row.order)
  })
}

test('a full gather is flushed and freed inside the window, the rest after it', async (t) => {
  const kernel = new Kernel({ frames: 512 })
  const rows: string[] = []
  kernel.trace.attach((event) => {
    if (event.name === 'mmu_notifier_invalidate_range_started') rows.push('S')
    if (event.name === 'mmu_notifier_invalidate_range_end') rows.push('E')
    if (event.name === 'tlb_flush') rows.push('flush')
    if (event.name === 'mm_page_free' && event.kind === 'anon') rows.push('free')
  })
  await kernel.run(async () => {
    const mm = await kernel.createMm()
    const { start, length } = await mm.mmap({ length: 100 * PAGE_SIZE })
    await mm.madvise(start, length, 'populateWrite')
    rows.length = 0
    await mm.munmap(start, length)
    t.deepEqual(
      rows.filter((row, i) => row !== rows[i - 1]),
      ['S', 'flush', 'free', 'E', 'flush', 'free'],
    )
    t.is(rows.indexOf('E') - rows.indexOf('free'), 64)
    await mm.exit()
  })
})

test('the OOM reaper leaves what a client refuses, and gives up after ten attempts', async (t) => {
  const kernel = new Kernel({ frames: 64 })
  await kernel.run(async () => {
    const mm = await kernel.createMm()
    const { start } = await mm.mmap({ length: PAGE_SIZE })
    await mm.createThread().store8(start, 1)
    let asked = 0
    let busy = 3
    const client = { invalidateRangeStart: () => (++asked <= busy ? -EAGAIN : 0) }
    const notifier = await mmuNotifierRegister(client, mm)
    t.true(await oomReapMm(mm))
    t.is(asked, 4)
    t.is(mm.rss, 0)
    busy = Infinity
    t.false(await oomReapMm(mm))
    t.is(asked, 14)
    await mm.exit()
    await mmuNotifierUnregister(notifier, mm)
    kernel.assertBalanced()
  })
})
