/**
 * The dirty log, as live migration uses it: copy all of the guest's memory while it runs, then again what it has written
 * since, until so little is left that the guest can be stopped for it.
 */
import { KVM_MEM_LOG_DIRTY_PAGES, Kernel, PAGE_SIZE, Random, countBits, gpa } from 'umbra'
import { GUEST, guestStore, makeVm } from './guest-access.ts'

const PAGES = 256

const kernel = new Kernel({ frames: 1024 })
await kernel.run(async () => {
  const mm = await kernel.createMm()
  const length = PAGES * PAGE_SIZE
  const ram = await mm.mmap({ length })
  const { vm, vcpu } = await makeVm(mm, ram)
  const random = new Random(7)
  const copy = new Uint8Array(length)

  /** The guest writes: to fewer pages the less time it has. */
  const runGuest = async (stores: number): Promise<void> => {
    for (let i = 0; i < stores; i++) await guestStore(vcpu, GUEST + random.below(length / 4) * 4, random.next32() >>> 0)
  }
  /** Copies the pages of a bitmap. @returns how many */
  const copyPages = async (bits: Uint32Array): Promise<number> => {
    for (let page = 0; page < PAGES; page++) {
      if (((bits[page >>> 5]! >>> (page & 31)) & 1) === 0) continue
      copy.set(await vm.readGuest(gpa(GUEST + page * PAGE_SIZE), PAGE_SIZE), page * PAGE_SIZE)
    }
    return countBits(bits)
  }

  await runGuest(2000)
  await vm.setMemslot({ id: 0, gpa: GUEST, length, hva: ram.start, flags: KVM_MEM_LOG_DIRTY_PAGES })
  let copied = await copyPages(new Uint32Array(PAGES / 32).fill(0xffff_ffff))
  console.log(`round 0: the log is on, all ${copied} pages are copied`)
  for (let round = 1; copied > 24; round++) {
    await runGuest(Math.ceil(copied / 2))
    const bits = await vm.getDirtyLog(0)
    copied = await copyPages(bits)
    console.log(`round ${round}: ${copied} pages were written meanwhile, and are copied again`)
  }
  const same = (await vm.readGuest(gpa(GUEST), length)).every((byte, at) => byte === copy[at])
  console.log(`the guest is stopped; its memory and the copy are ${same ? 'equal' : 'NOT EQUAL'}`)
  console.log(
    `${vm.stats.writeProtected} sptes were write-protected, ${vm.stats.fastFixed} faults needed no look at the host`,
  )
  await vm.destroy()
  await mm.exit()
  kernel.assertBalanced()
})
