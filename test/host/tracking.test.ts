/** Idle pages and soft-dirty pages: what is found out about use, and what that costs the clients. */
import test from 'ava'
import { PAGE_SIZE } from '../../src/base/index.ts'
import type { Pfn } from '../../src/base/index.ts'
import {
  Kernel,
  clearReferences,
  clearSoftDirty,
  isPageIdle,
  isPageYoung,
  ptePfn,
  setPageIdle,
  softDirtyPages,
} from '../../src/host/index.ts'
import type { HostThread, KernelOptions, Mm } from '../../src/host/index.ts'
import { mmuNotifierRegister, mmuNotifierUnregister } from '../../src/notifier/index.ts'
import { Mirror } from './mirror.ts'

interface Scene {
  readonly kernel: Kernel
  readonly mm: Mm
  readonly thread: HostThread
  readonly mirror: Mirror
  readonly page: (index: number) => number
  readonly frame: (index: number) => Pfn
}

/** Four pages of anonymous memory, stored to by the host. */
async function scene(options: KernelOptions, body: (scene: Scene) => Promise<void>): Promise<void> {
  const kernel = new Kernel({ frames: 64, swapPages: 16, ...options })
  await kernel.run(async () => {
    const mm = await kernel.createMm('mm')
    const { start } = await mm.mmap({ length: 4 * PAGE_SIZE })
    const mirror = new Mirror(mm)
    const notifier = await mmuNotifierRegister(mirror, mm)
    const thread = mm.createThread()
    const page = (index: number): number => start + index * PAGE_SIZE
    for (let i = 0; i < 4; i++) await thread.store32(page(i), i + 1)
    await body({ kernel, mm, thread, mirror, page, frame: (index) => ptePfn(mm.pageTable.read(page(index))) })
    thread.exit()
    await mm.exit()
    await mmuNotifierUnregister(notifier, mm)
    kernel.assertBalanced()
  })
}

for (const pageTableLock of ['sleep', 'spin'] as const) {
  test(`an idle page is one that neither host nor client used, page-table lock ${pageTableLock}`, async (t) => {
    await scene({ pageTableLock }, async ({ kernel, thread, mirror, page, frame }) => {
      for (let i = 0; i < 4; i++) await mirror.load(page(i))
      for (let i = 0; i < 4; i++) await setPageIdle(kernel, frame(i))
      thread.flushAll()
      await thread.load32(page(0))
      await mirror.load(page(1))
      const idle: boolean[] = []
      for (let i = 0; i < 4; i++) idle.push(await isPageIdle(kernel, frame(i)))
      t.deepEqual(idle, [false, false, true, true])
      t.is(mirror.zapped, 0)
      // What was found is not lost to reclaim: it counts as used.
      t.true(await isPageYoung(kernel, frame(0)))
      t.true(await isPageYoung(kernel, frame(1)))
    })
  })
}

test('asking whether a page is young changes no mark, and stops at the first yes', async (t) => {
  await scene({}, async ({ kernel, mm, mirror, page, frame }) => {
    await mirror.load(page(0))
    await setPageIdle(kernel, frame(0))
    kernel.pages.clear(frame(0), 1)
    t.false(await isPageYoung(kernel, frame(0)))
    await mirror.load(page(0))
    t.true(await isPageYoung(kernel, frame(0)))
    t.true(await isPageYoung(kernel, frame(0)))
    let asked = 0
    const counter = await mmuNotifierRegister(
      {
        testYoung: () => {
          asked++
          return true
        },
      },
      mm,
    )
    t.true(await isPageYoung(kernel, frame(0)))
    t.is(asked, 1)
    t.true(mirror.entries.get(page(0))?.young)
    await mmuNotifierUnregister(counter, mm)
  })
})

test('clearing the references of an mm takes nothing from its clients', async (t) => {
  await scene({}, async ({ mm, mirror, page }) => {
    await mirror.load(page(0))
    await clearReferences(mm)
    t.is(mirror.zapped, 0)
    for (let i = 0; i < 4; i++) t.is(mm.pageTable.read(page(i)) & 0x40, 0)
  })
})

test('soft-dirty pages are those stored to since the last look, by host or client', async (t) => {
  await scene({}, async ({ mm, thread, mirror, page }) => {
    await mirror.store(page(0), 9)
    t.is((await softDirtyPages(mm, page(0), 4 * PAGE_SIZE)).length, 4)
    await clearSoftDirty(mm)
    t.is(mirror.zapped, 1)
    t.deepEqual(await softDirtyPages(mm, page(0), 4 * PAGE_SIZE), [])
    await thread.load32(page(0))
    await mirror.load(page(3))
    t.deepEqual(await softDirtyPages(mm, page(0), 4 * PAGE_SIZE), [])
    await thread.store32(page(1), 5)
    await mirror.store(page(2), 6)
    t.deepEqual(await softDirtyPages(mm, page(0), 4 * PAGE_SIZE), [page(1), page(2)])
    // Rights that come and go do not hide a store.
    await clearSoftDirty(mm)
    await mm.mprotect(page(0), 4 * PAGE_SIZE, 'r')
    await mm.mprotect(page(0), 4 * PAGE_SIZE, 'rw')
    await thread.store32(page(0), 7)
    t.deepEqual(await softDirtyPages(mm, page(0), 4 * PAGE_SIZE), [page(0)])
  })
})
