/** The smallest client that does something: the README shows it. */
import { Kernel, PAGE_SIZE, mmuNotifierRegister, mmuNotifierUnregister } from 'umbra'
import type { MmuNotifierOps, MmuNotifierRange } from 'umbra'

/** A GPU that mirrors an address space. Before a range changes it has to finish what it is doing there. */
class Gpu implements MmuNotifierOps {
  stalls = 0

  async invalidateRangeStart(range: MmuNotifierRange): Promise<void> {
    await range.mm.sched.sleep(20_000) // until its queue is empty: a hook may sleep
    this.stalls++
  }
}

const kernel = new Kernel({ frames: 256, seed: 1 })
await kernel.run(async () => {
  const mm = await kernel.createMm()
  const buffer = await mm.mmap({ length: 4 * PAGE_SIZE, prot: 'rw' })
  const gpu = new Gpu()
  const registration = await mmuNotifierRegister(gpu, mm)

  const thread = mm.createThread()
  await thread.store32(buffer.start, 42) // faults the page in
  await mm.munmap(buffer.start, PAGE_SIZE) // tells the GPU first, and waits for it

  await mmuNotifierUnregister(registration, mm) // from here on no hook of it runs, or will run
  await mm.exit()
  console.log(`the GPU was told ${gpu.stalls} time(s); ${kernel.sched.now} ns have passed`)
  kernel.assertBalanced() // no page was lost
})
