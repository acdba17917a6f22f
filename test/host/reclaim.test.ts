/** Reclaim, swap and memory that runs out: nothing is lost, nothing that is needed goes first, and the books balance. */
import test from 'ava'
import { KernelError, PAGE_SIZE } from '../../src/base/index.ts'
import type { Pfn } from '../../src/base/index.ts'
import { Kernel, faultInPage, fsync, migratePage, ptePfn, ptePresent, readFile } from '../../src/host/index.ts'
import type { HostThread, KernelOptions, Mm, SwapDevice } from '../../src/host/index.ts'
import { mmuNotifierRegister, mmuNotifierUnregister } from '../../src/notifier/index.ts'
import { random } from '../../src/sched/index.ts'
import { Mirror } from './mirror.ts'

interface Scene {
  readonly kernel: Kernel
  readonly mm: Mm
  readonly thread: HostThread
  /** Start of private anonymous memory of `pages` pages. */
  readonly ram: number
  readonly mirror: Mirror
}

async function scene(options: KernelOptions, pages: number, body: (scene: Scene) => Promise<void>): Promise<Kernel> {
  const kernel = new Kernel(options)
  await kernel.run(async () => {
    const mm = await kernel.createMm('mm')
    const { start } = await mm.mmap({ length: pages * PAGE_SIZE })
    const mirror = new Mirror(mm)
    const notifier = await mmuNotifierRegister(mirror, mm)
    const thread = mm.createThread()
    await body({ kernel, mm, thread, ram: start, mirror })
    thread.exit()
    await mm.exit()
    await mmuNotifierUnregister(notifier, mm)
    kernel.assertBalanced()
  })
  return kernel
}

const isPresent = (mm: Mm, hva: number): boolean => ptePresent(mm.pageTable.read(hva))
const frameOf = (mm: Mm, hva: number): Pfn => ptePfn(mm.pageTable.read(hva))

test('twice as much memory as frames: every page reads as it was stored', async (t) => {
  const pages = 100
  const kernel = await scene({ frames: 50, swapPages: 100 }, pages, async ({ thread, ram, kernel }) => {
    for (let page = 0; page < pages; page++) await thread.store32(ram + page * PAGE_SIZE, page + 1)
    for (let page = 0; page < pages; page++) t.is(await thread.load32(ram + page * PAGE_SIZE), page + 1)
    t.true(kernel.swap.used > 50)
  })
  t.is(kernel.swap.used, 0)
  t.is(kernel.allocator.free, kernel.allocator.managed - 1)
})

test('when swap is full the next page is refused with ENOMEM, and all that was stored is still there', async (t) => {
  await scene({ frames: 32, swapPages: 4 }, 64, async ({ thread, ram, kernel }) => {
    let stored = 0
    const error = await t.throwsAsync(
      async () => {
        for (; stored < 64; stored++) await thread.store32(ram + stored * PAGE_SIZE, stored + 1)
      },
      { instanceOf: KernelError },
    )
    t.is(error.code, 'ENOMEM')
    t.true(stored > 20)
    t.is(kernel.swap.used, 4)
    for (let page = 0; page < stored; page++) {
      // A load of a page in swap needs a frame, too: there is none, unless another page can go.
      const seen = await thread.load32(ram + page * PAGE_SIZE).catch((failure: unknown) => failure)
      if (seen instanceof KernelError) t.is(seen.code, 'ENOMEM')
      else t.is(seen, page + 1)
    }
    kernel.assertBalanced()
  })
})

test('a fork that runs out of memory leaves the parent whole and no child', async (t) => {
  await scene({ frames: 22 }, 512 * 20, async ({ thread, ram, mm, kernel }) => {
    for (let i = 0; i < 6; i++) await thread.store32(ram + i * 512 * PAGE_SIZE, i + 1)
    await t.throwsAsync(() => mm.fork(), { code: 'ENOMEM' })
    t.is(kernel.mms.size, 1)
    for (let i = 0; i < 6; i++) t.is(await thread.load32(ram + i * 512 * PAGE_SIZE), i + 1)
    await thread.store32(ram, 9)
    kernel.assertBalanced()
  })
})

test('what a client stored after the swap slot was written is written again before the frame goes', async (t) => {
  await scene({ frames: 32, swapPages: 8 }, 1, async ({ thread, mirror, ram, mm }) => {
    await thread.store32(ram, 1)
    await mm.madvise(ram, PAGE_SIZE, 'pageout')
    t.false(isPresent(mm, ram))
    t.is(await mirror.load(ram), 1)
    // In the swap cache, clean: only the client knows of the next store.
    await mirror.store(ram, 2)
    await mm.madvise(ram, PAGE_SIZE, 'pageout')
    t.false(isPresent(mm, ram))
    t.is(await thread.load32(ram), 2)
  })
})

test('a page that only a client uses stays, one that nobody uses goes', async (t) => {
  await scene({ frames: 64, swapPages: 16 }, 8, async ({ thread, mirror, ram, mm, kernel }) => {
    for (let page = 0; page < 8; page++) await thread.store32(ram + page * PAGE_SIZE, page)
    const unused = (): number[] => [4, 5, 6, 7].filter((page) => isPresent(mm, ram + page * PAGE_SIZE))
    // Everything is young at first: one look makes the unused old.
    while (unused().length > 0) {
      for (let page = 0; page < 4; page++) await mirror.load(ram + page * PAGE_SIZE)
      await kernel.reclaimPages(1)
      if (unused().length < 4) {
        for (let page = 0; page < 4; page++) t.true(isPresent(mm, ram + page * PAGE_SIZE), `page ${page}`)
      }
    }
  })
})

test('a page that somebody holds is neither swapped out, nor moved, nor merged', async (t) => {
  await scene({ frames: 64, swapPages: 16 }, 2, async ({ thread, ram, mm, kernel }) => {
    for (let page = 0; page < 2; page++) await thread.store32(ram + page * PAGE_SIZE, 7)
    const { pfn } = await faultInPage(mm, ram, { write: true })
    await mm.madvise(ram, PAGE_SIZE, 'pageout')
    t.is(frameOf(mm, ram), pfn)
    t.is(await migratePage(kernel, pfn), -1)
    t.is(frameOf(mm, ram), pfn)
    await mm.madvise(ram, 2 * PAGE_SIZE, 'mergeable')
    for (let scan = 0; scan < 4; scan++) t.is(await kernel.ksm.scan(), 0)
    // Whoever holds the page may go on writing it, and the mm sees it.
    kernel.memory.write32((pfn * PAGE_SIZE) as never, 8)
    t.is(await thread.load32(ram), 8)
    kernel.memory.write32((pfn * PAGE_SIZE) as never, 7)
    kernel.putPage(pfn)
    t.is(await kernel.ksm.scan(), 2)
    t.is(frameOf(mm, ram), frameOf(mm, ram + PAGE_SIZE))
  })
})

test('a page that is held while its owner unmaps it lives until it is put', async (t) => {
  await scene({ frames: 64, swapPages: 16 }, 1, async ({ thread, ram, mm, kernel }) => {
    await thread.store32(ram, 7)
    const { pfn } = await faultInPage(mm, ram, { write: false })
    await mm.munmap(ram, PAGE_SIZE)
    t.is(kernel.pages.refs(pfn), 1)
    t.is(kernel.memory.read32((pfn * PAGE_SIZE) as never), 7)
    kernel.putPage(pfn)
    t.is(kernel.pages.kindOf(pfn), 'free')
  })
})

test('merged pages are one frame; a store takes a copy, unmerging takes one each', async (t) => {
  await scene({ frames: 64 }, 4, async ({ thread, ram, mm, kernel, mirror }) => {
    for (let page = 0; page < 4; page++) await thread.store32(ram + page * PAGE_SIZE, 7)
    await mm.madvise(ram, 4 * PAGE_SIZE, 'mergeable')
    const before = kernel.allocator.free
    await kernel.ksm.scan()
    await kernel.ksm.scan()
    await kernel.ksm.scan()
    t.is(new Set([0, 1, 2, 3].map((page) => frameOf(mm, ram + page * PAGE_SIZE))).size, 1)
    t.is(kernel.allocator.free, before + 3)
    await mirror.store(ram + PAGE_SIZE, 9)
    t.is(await thread.load32(ram + PAGE_SIZE), 9)
    t.is(await thread.load32(ram), 7)
    await mm.madvise(ram, 4 * PAGE_SIZE, 'unmergeable')
    t.is(new Set([0, 1, 2, 3].map((page) => frameOf(mm, ram + page * PAGE_SIZE))).size, 4)
    t.is(await kernel.ksm.scan(), 0)
    for (const page of [0, 2, 3]) t.is(await thread.load32(ram + page * PAGE_SIZE), 7)
  })
})

test('lazily freed pages are dropped without a write, unless they were written since', async (t) => {
  await scene({ frames: 64, swapPages: 16 }, 3, async ({ thread, ram, mm, kernel, mirror }) => {
    for (let page = 0; page < 3; page++) await thread.store32(ram + page * PAGE_SIZE, 7)
    await mm.madvise(ram, 3 * PAGE_SIZE, 'free')
    for (let page = 0; page < 3; page++) t.true(isPresent(mm, ram + page * PAGE_SIZE))
    await thread.store32(ram, 8)
    await mirror.store(ram + PAGE_SIZE, 9)
    await kernel.reclaimPages(3)
    t.is(await thread.load32(ram), 8)
    t.is(await thread.load32(ram + PAGE_SIZE), 9)
    t.is(await thread.load32(ram + 2 * PAGE_SIZE), 0)
  })
})

test('a swap device that fails: the page stays where it is; a read that fails is EIO and can be tried again', async (t) => {
  const stored = new Map<number, Uint8Array>()
  let broken = true
  let kernel: Kernel | null = null
  const fail = (): void => {
    if (broken) throw new KernelError('EIO', 'the swap device is gone')
  }
  const swapDevice: SwapDevice = {
    slots: 8,
    async writePage(slot, pfn) {
      await kernel!.sched.sleep(1000)
      fail()
      stored.set(slot, kernel!.memory.readBytes((pfn * PAGE_SIZE) as never, PAGE_SIZE))
    },
    async readPage(slot, pfn) {
      await kernel!.sched.sleep(1000)
      fail()
      kernel!.memory.writeBytes((pfn * PAGE_SIZE) as never, stored.get(slot) as Uint8Array)
    },
  }
  await scene({ frames: 64, swapDevice }, 1, async (it) => {
    const { thread, ram, mm } = it
    kernel = it.kernel
    await thread.store32(ram, 7)
    await mm.madvise(ram, PAGE_SIZE, 'pageout')
    t.is(stored.size, 0)
    t.is(await thread.load32(ram), 7)
    broken = false
    await mm.madvise(ram, PAGE_SIZE, 'pageout')
    t.is(stored.size, 1)
    broken = true
    await t.throwsAsync(() => thread.load32(ram), { code: 'EIO' })
    kernel.assertBalanced()
    broken = false
    t.is(await thread.load32(ram), 7)
  })
})

test('two threads that want one page from swap read it once', async (t) => {
  let reads = 0
  let kernel: Kernel | null = null
  const swapDevice: SwapDevice = {
    slots: 8,
    async writePage() {},
    async readPage(_slot, pfn) {
      reads++
      await kernel!.sched.sleep(1000)
      kernel!.memory.write32((pfn * PAGE_SIZE) as never, 7)
    },
  }
  await scene({ frames: 64, swapDevice, policy: random(3) }, 1, async (it) => {
    const { thread, ram, mm } = it
    kernel = it.kernel
    await thread.store32(ram, 7)
    await mm.madvise(ram, PAGE_SIZE, 'pageout')
    const others = [0, 1, 2].map((i) =>
      kernel!.spawn(`reader${i}`, async () => {
        const reader = mm.createThread()
        t.is(await reader.load32(ram), 7)
        reader.exit()
      }),
    )
    for (const other of others) await kernel.sched.join(other)
    t.is(reads, 1)
  })
})

test('a dirty page of a disk file is written and dropped, and read back; a full disk is ENOSPC', async (t) => {
  await scene({ frames: 64, diskPages: 2 }, 1, async ({ thread, mm, kernel }) => {
    const file = kernel.createFile({ size: 4 * PAGE_SIZE, storage: 'disk' })
    const { start } = await mm.mmap({ length: 4 * PAGE_SIZE, file, shared: true })
    await thread.store32(start, 7)
    await fsync(file)
    await thread.store32(start, 8)
    await mm.madvise(start, PAGE_SIZE, 'pageout')
    t.is(file.lookup(0), -1)
    t.is(await thread.load32(start), 8)
    t.deepEqual([...(await readFile(file, 0, 4))], [8, 0, 0, 0])
    for (let page = 1; page < 4; page++) await thread.store32(start + page * PAGE_SIZE, page)
    await t.throwsAsync(() => fsync(file), { code: 'ENOSPC' })
    for (let page = 1; page < 4; page++) t.is(await thread.load32(start + page * PAGE_SIZE), page)
    await mm.munmap(start, 4 * PAGE_SIZE)
    await file.put()
  })
})

test('kswapd keeps memory free ahead of need, so that allocations do not reclaim', async (t) => {
  await scene({ frames: 64, swapPages: 200 }, 150, async ({ thread, ram, kernel }) => {
    kernel.reclaim.startKswapd(16, 24)
    t.throws(() => kernel.reclaim.startKswapd(16, 24), { code: 'EBUSY' })
    const reclaimers = new Set<string>()
    kernel.trace.attach((event, { task }) => {
      if (event.name === 'mm_vmscan_begin') reclaimers.add(task)
    })
    for (let page = 0; page < 150; page++) {
      await thread.store32(ram + page * PAGE_SIZE, page)
      await kernel.sched.yieldNow()
    }
    t.deepEqual([...reclaimers], ['kswapd'])
    for (let page = 0; page < 150; page++) t.is(await thread.load32(ram + page * PAGE_SIZE), page)
    // Let it finish what it is doing, so that nothing is isolated when the books are checked.
    for (let i = 0; i < 20; i++) await kernel.sched.yieldNow()
  })
})

test("the zero page serves every reader, is nobody's to write, and is not counted", async (t) => {
  await scene({ frames: 64 }, 4, async ({ thread, ram, mm, kernel, mirror }) => {
    const before = kernel.pages.refs(kernel.zeroPfn)
    for (let page = 0; page < 4; page++) t.is(await thread.load32(ram + page * PAGE_SIZE), 0)
    const read = await faultInPage(mm, ram, { write: false })
    t.deepEqual(read, { pfn: kernel.zeroPfn, writable: false })
    kernel.putPage(read.pfn)
    t.is(await mirror.load(ram), 0)
    const written = await faultInPage(mm, ram, { write: true })
    t.not(written.pfn, kernel.zeroPfn)
    t.true(written.writable)
    kernel.putPage(written.pfn)
    t.is(mirror.zapped, 1)
    t.is(kernel.pages.refs(kernel.zeroPfn), before)
    t.throws(() => kernel.setPageDirty(kernel.zeroPfn), { message: /^I9/ })
  })
})

test('children that share swapped pages each get their own back', async (t) => {
  await scene({ frames: 64, swapPages: 8 }, 2, async ({ thread, ram, mm, kernel }) => {
    await thread.store32(ram, 7)
    await mm.madvise(ram, PAGE_SIZE, 'pageout')
    const child = await mm.fork('child')
    const other = child.createThread()
    await thread.store32(ram, 8)
    t.is(await other.load32(ram), 7)
    await other.store32(ram, 9)
    t.is(await thread.load32(ram), 8)
    other.exit()
    await child.exit()
    t.is(await thread.load32(ram), 8)
    kernel.assertBalanced()
  })
})

test('an mm that exits with its pages in swap gives the slots back, and faults on it end in EFAULT', async (t) => {
  const kernel = new Kernel({ frames: 64, swapPages: 8 })
  await kernel.run(async () => {
    const mm = await kernel.createMm()
    const { start } = await mm.mmap({ length: PAGE_SIZE })
    const thread = mm.createThread()
    await thread.store32(start, 7)
    await mm.madvise(start, PAGE_SIZE, 'pageout')
    t.is(kernel.swap.used, 1)
    mm.grab()
    await mm.exit()
    t.is(kernel.swap.used, 0)
    await t.throwsAsync(() => thread.load32(start), { code: 'EFAULT' })
    await t.throwsAsync(() => faultInPage(mm, start, { write: false }), { code: 'EFAULT' })
    t.false(mm.mmgetNotZero())
    t.true(kernel.mms.has(mm))
    mm.drop()
    t.is(kernel.mms.size, 0)
    kernel.assertBalanced()
  })
})
