/** The buddy system and the reference counts behind it. */
import test from 'ava'
import fc from 'fast-check'
import { KernelBug, KernelError } from '../../src/base/index.ts'
import type { Pfn } from '../../src/base/index.ts'
import { Kernel } from '../../src/host/index.ts'

const step = fc.record({ order: fc.nat(4), free: fc.boolean(), which: fc.nat(63) })

test('blocks are aligned and disjoint, and everything joins again into what there was', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 16, max: 200 }), fc.array(step, { maxLength: 120, size: 'max' }), (frames, steps) => {
      const { allocator } = new Kernel({ frames })
      const managed = allocator.free
      const held: { readonly pfn: Pfn; readonly order: number }[] = []
      const taken = new Set<number>()
      for (const { order, free, which } of steps) {
        if (free && held.length > 0) {
          const [block] = held.splice(which % held.length, 1)
          if (block === undefined) continue
          for (let i = 0; i < 2 ** block.order; i++) taken.delete(block.pfn + i)
          allocator.freePages(block.pfn, block.order)
          continue
        }
        const pfn = allocator.tryAllocPages(order, 'spte', 0)
        if (pfn === -1) continue
        if (pfn % 2 ** order !== 0) throw new Error(`block of order ${order} at ${pfn}`)
        for (let i = 0; i < 2 ** order; i++) {
          if (taken.has(pfn + i) || pfn + i >= frames || pfn + i === 0) throw new Error(`frame ${pfn + i} given twice`)
          taken.add(pfn + i)
        }
        held.push({ pfn, order })
        if (allocator.free !== managed - taken.size) throw new Error('free count')
      }
      for (const { pfn, order } of held) allocator.freePages(pfn, order)
      if (allocator.free !== managed) throw new Error('frames were lost')
      // The largest block that a fresh allocator has is there again.
      const order = Math.floor(Math.log2(frames)) - 1
      const whole = allocator.tryAllocPages(Math.min(order, 10), 'spte', 0)
      if (whole === -1) throw new Error(`no block of order ${order} after everything was freed`)
    }),
    { numRuns: 100 },
  )
  t.pass()
})

test('a frame with references, mappings or a lock is not freed', async (t) => {
  const kernel = new Kernel({ frames: 32 })
  await kernel.run(async () => {
    const { allocator, pages } = kernel
    const pfn = await allocator.allocPages(0, 'anon', 1)
    pages.get(pfn)
    t.throws(() => allocator.freePages(pfn, 0), { instanceOf: KernelBug, message: /^I14: .* reference count 2/ })
    allocator.put(pfn)
    pages.addRmap(pfn)
    t.throws(() => allocator.put(pfn), { instanceOf: KernelBug, message: /^I14: .* 1 PTEs map it/ })
    pages.removeRmap(pfn)
    await pages.lockOf(pfn).lock()
    t.throws(() => allocator.put(pfn), { instanceOf: KernelBug, message: /page is locked/ })
    pages.lockOf(pfn).unlock()
    t.deepEqual(kernel.leakReport(), [`frame ${pfn} (anon, mm 1): 1 references, 0 accounted for`])
    t.throws(() => kernel.assertBalanced(), { instanceOf: KernelBug, message: /^I14/ })
    allocator.put(pfn)
    kernel.assertBalanced()
    t.throws(() => allocator.put(pfn), { instanceOf: KernelBug, message: /reference count 0/ })
    t.throws(() => pages.get(pfn), { instanceOf: KernelBug })
  })
})

test('an allocation that cannot be met ends in ENOMEM and takes nothing', async (t) => {
  const kernel = new Kernel({ frames: 16 })
  await kernel.run(async () => {
    const { allocator } = kernel
    const before = allocator.free
    const error = await t.throwsAsync(() => allocator.allocPages(4, 'spte', 0), { instanceOf: KernelError })
    t.is(error.code, 'ENOMEM')
    t.regex(error.message, /no 16 free frames of 15 for spte/)
    t.is(allocator.free, before)
  })
})

test('options out of range are refused with the value and the range', (t) => {
  const cases = [
    [{ frames: 3 }, /frames is 3: expected 16 to/],
    [{ frames: 2.5 }, /frames is 2.5/],
    [{ swapPages: -1 }, /swapPages is -1/],
    [{ cpus: 0 }, /cpus is 0/],
    [{ pageTableLock: 'rcu' }, /pageTableLock is 'rcu': expected 'sleep' or 'spin'/],
    [{ srcu: 'tree' }, /srcu is 'tree'/],
    [{ changePte: '' }, /changePte is ''/],
  ] as const
  for (const [options, message] of cases) {
    t.throws(() => new Kernel(options as never), { instanceOf: KernelError, code: 'EINVAL', message })
  }
})
