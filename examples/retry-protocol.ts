/**
 * The retry protocol: between looking a page up and mapping it, a fault holds no lock that would keep the page there. So
 * it reads the invalidation sequence first, and looks again once it holds mmuLock.
 *
 *  vcpu                                 host
 *  snapshot seq
 *  look the page up: frame A
 *                                       DONTNEED: start, seq + 1, frame A freed, end
 *  lock, seq changed: start over        <- without this look the guest would go on using frame A
 */
import { Kernel, PAGE_SIZE, PageFaults, Vm, hex } from 'umbra'
import type { TraceEvent } from 'umbra'
import { GUEST, guestLoad, makeVm } from './guest-access.ts'

/** Faults dawdle between the lookup and mmuLock: the race is certain. */
class SlowFaults extends PageFaults {
  protected override async faultInPage(
    ...args: Parameters<PageFaults['faultInPage']>
  ): ReturnType<PageFaults['faultInPage']> {
    const page = await super.faultInPage(...args)
    await this.vm.sched.sleep(10_000)
    return page
  }
}

class SlowVm extends Vm {
  protected override createFaults(): PageFaults {
    return new SlowFaults(this)
  }
}

/** The same without the look: what the protocol is there for. */
class CarelessVm extends Vm {
  protected override createFaults(): PageFaults {
    return new (class extends SlowFaults {
      protected override stale(): null {
        return null
      }
    })(this)
  }
}

async function race(vmClass: typeof Vm): Promise<void> {
  const kernel = new Kernel({ frames: 256 })
  await kernel.run(async () => {
    const mm = await kernel.createMm()
    const ram = await mm.mmap({ length: PAGE_SIZE })
    const other = await mm.mmap({ length: PAGE_SIZE })
    const thread = mm.createThread()
    await thread.store32(ram.start, 0x1111)
    const { vm, vcpu } = await makeVm(mm, ram, {}, vmClass)
    const detach = kernel.trace.attach((event, { task, now }) => {
      const line = describe(event)
      if (line !== null) console.log(`  ${String(now).padStart(5)} ns  ${task.padEnd(4)}  ${line}`)
    })
    const host = kernel.spawn('host', async () => {
      await kernel.sched.sleep(5_000)
      await mm.madvise(ram.start, PAGE_SIZE, 'dontneed')
    })
    await guestLoad(vcpu, GUEST)
    await kernel.sched.join(host)
    await thread.store32(other.start, 0xbad)
    detach()
    const seen = await guestLoad(vcpu, GUEST)
    console.log(
      `  the guest reads ${hex(seen)}${seen === 0 ? ': a fresh page' : ': it looks into a page that is not its own'}`,
    )
    if (vmClass !== CarelessVm) await vm.destroy()
  }, 'vcpu')
}

function describe(event: TraceEvent): string | null {
  if (event.name === 'kvm_mmu_snapshot_seq') return `snapshot, sequence ${event.seq}`
  if (event.name === 'kvm_mmu_invalidate_end') return `invalidation ended, sequence ${event.seq}`
  if (event.name === 'mm_page_free') return `frame ${event.pfn} is free`
  if (event.name === 'mm_page_alloc' && event.kind === 'anon') return `frame ${event.pfn} is somebody's again`
  if (event.name === 'kvm_mmu_retry') return `start over (${event.reason})`
  if (event.name === 'kvm_mmu_set_spte') return `spte set to frame ${event.pfn}`
  return null
}

console.log('with the protocol:')
await race(SlowVm)
console.log('without the look at the sequence:')
await race(CarelessVm)
