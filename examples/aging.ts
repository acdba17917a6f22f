/**
 * Aging: reclaim asks the clients of an mm whether a page was used, since its own page table knows nothing of what a
 * guest does through sptes. The answer is the accessed bit of the spte, which asking clears.
 */
import { Kernel, PAGE_SIZE, hva, mmuNotifierClearFlushYoung, mmuNotifierTestYoung } from 'umbra'
import type { Mm } from 'umbra'
import { GUEST, guestLoad, guestStore, makeVm } from './guest-access.ts'

const PAGES = 8

const kernel = new Kernel({ frames: 256, swapPages: 64 })
await kernel.run(async () => {
  const mm = await kernel.createMm()
  const ram = await mm.mmap({ length: PAGES * PAGE_SIZE })
  const { vm, vcpu } = await makeVm(mm, ram)
  for (let page = 0; page < PAGES; page++) await guestStore(vcpu, GUEST + page * PAGE_SIZE, page)

  console.log('page                               0 1 2 3 4 5 6 7')
  console.log(`after the guest stored to all      ${await youngPages(mm, ram.start)}`)
  await mmuNotifierClearFlushYoung(mm, ram.start, hva(ram.start + PAGES * PAGE_SIZE))
  console.log(`after clear_flush_young            ${await youngPages(mm, ram.start)}`)
  for (const page of [2, 5]) await guestLoad(vcpu, GUEST + page * PAGE_SIZE)
  console.log(`after the guest loaded from 2, 5   ${await youngPages(mm, ram.start)}`)

  // One page at a time, so that the guest can use its two pages in between.
  let freed = 0
  for (let round = 0; round < PAGES - 2; round++) {
    for (const page of [2, 5]) await guestLoad(vcpu, GUEST + page * PAGE_SIZE)
    freed += await kernel.reclaimPages(1)
  }
  console.log(`present after reclaim freed ${freed}      ${presentPages(mm, ram.start)}`)
  console.log(`hooks found a page young ${vm.stats.youngFound} times; ${kernel.swap.used} pages are on swap`)
  await vm.destroy()
  await mm.exit()
  kernel.assertBalanced()
})

async function youngPages(mm: Mm, start: number): Promise<string> {
  const marks: string[] = []
  for (let page = 0; page < PAGES; page++) {
    marks.push((await mmuNotifierTestYoung(mm, hva(start + page * PAGE_SIZE))) ? 'y' : '.')
  }
  return marks.join(' ')
}

function presentPages(mm: Mm, start: number): string {
  const isPresent = (page: number): boolean => (mm.pageTable.read(start + page * PAGE_SIZE) & 1) !== 0
  return Array.from({ length: PAGES }, (_, page) => (isPresent(page) ? 'p' : '.')).join(' ')
}
