import test from 'ava'
import type { TraceEvent } from '../../src/base/index.ts'
import { PAGE_SIZE } from '../../src/base/index.ts'
import { Kernel, faultInPage } from '../../src/host/index.ts'
import { mmuNotifierRegister, mmuNotifierUnregister } from '../../src/notifier/index.ts'

test('memory that was mapped, stored to, unmapped and left leaves every frame free', async (t) => {
  const kernel = new Kernel({ frames: 64 })
  const events: TraceEvent[] = []
  kernel.trace.attach((event) => events.push(event))
  const before = kernel.allocator.free
  await kernel.run(async () => {
    const mm = await kernel.createMm('a')
    const ram = await mm.mmap({ length: 8 * PAGE_SIZE })
    const mn = await mmuNotifierRegister({ name: 'client', invalidateRangeStart() {}, invalidateRangeEnd() {} }, mm)
    const thread = mm.createThread()
    await thread.store64(ram.start + 8, 0x1234n)
    t.is(await thread.load64(ram.start + 8), 0x1234n)
    t.is(await thread.load32(ram.start + PAGE_SIZE), 0)
    const page = await faultInPage(mm, ram.start, { write: true })
    t.true(page.writable)
    t.is(kernel.memory.read64((page.pfn * PAGE_SIZE + 8) as never), 0x1234n)
    kernel.putPage(page.pfn)
    kernel.assertBalanced()
    await mm.munmap(ram.start, PAGE_SIZE)
    await t.throwsAsync(() => thread.load8(ram.start), { code: 'EFAULT' })
    await mm.exit()
    await mmuNotifierUnregister(mn, mm)
    kernel.assertBalanced()
  })
  t.is(kernel.allocator.free, before)
  t.true(events.some((event) => event.name === 'mmu_notifier_callout_begin'))
})
