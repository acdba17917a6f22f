/**
 * The price of one SRCU for all: a hook of one mm sleeps, and an unregister on another mm, which has nothing to do with
 * it, waits until it wakes. With a domain for each mm it would not; that is shown beside it.
 */
import { Kernel, Mm, PAGE_SIZE, createSrcu, mmuNotifierRegister, mmuNotifierUnregister } from 'umbra'
import type { Pfn } from 'umbra'

/** Virtual nanoseconds that the slow client's hook sleeps. */
const SLEEP = 5_000_000

/** A kernel in which every mm has an SRCU domain of its own. */
class PerMmKernel extends Kernel {
  protected override newMm(id: number, name: string, root: Pfn): Mm {
    const srcu = createSrcu('tiny', this.sched, { name: `srcu of ${name}` })
    return new (class extends Mm {
      override readonly srcu = srcu
    })(this, id, name, root)
  }
}

/** @returns virtual nanoseconds that the unregister on the idle mm took */
function unregisterWhileAnotherSleeps(kernel: Kernel): Promise<number> {
  return kernel.run(async () => {
    const { sched } = kernel
    const slow = await kernel.createMm('slow')
    const idle = await kernel.createMm('idle')
    const memory = await slow.mmap({ length: PAGE_SIZE })
    await slow.createThread('writer').store64(memory.start, 1n)
    const sleeper = await mmuNotifierRegister({ name: 'sleeper', invalidateRangeStart: () => sched.sleep(SLEEP) }, slow)
    const bystander = await mmuNotifierRegister({ name: 'bystander' }, idle)

    const unmapper = kernel.spawn('unmapper', () => slow.munmap(memory.start, PAGE_SIZE))
    while (kernel.srcu.activeReaders().length + slow.srcu.activeReaders().length === 0) await sched.yieldNow()
    const began = sched.now
    await mmuNotifierUnregister(bystander, idle)
    const waited = sched.now - began

    await sched.join(unmapper)
    await mmuNotifierUnregister(sleeper, slow)
    await slow.exit()
    await idle.exit()
    return waited
  })
}

console.log(`a hook on mm "slow" sleeps ${SLEEP / 1000} us; meanwhile a client unregisters from mm "idle"`)
const shared = await unregisterWhileAnotherSleeps(new Kernel({ frames: 64 }))
console.log(`  one SRCU for all mms:    unregister waits ${shared / 1000} us`)
const own = await unregisterWhileAnotherSleeps(new PerMmKernel({ frames: 64 }))
console.log(`  an SRCU domain each mm:  unregister waits ${own / 1000} us`)
