/**
 * A client of the notifier list: a network card that keeps its own copy of page addresses, as RDMA on-demand paging
 * does. Its hooks sleep until the hardware has answered; the host waits for them before it frees a page.
 */
import { Kernel, PAGE_SIZE, faultInPage, hva, hvnOf, mmuNotifierRegister, mmuNotifierUnregister } from 'umbra'
import type { Hva, MmuNotifierOps, MmuNotifierRange } from 'umbra'

/** Virtual nanoseconds that the card takes to drain its queue. */
const DRAIN = 40_000

class OdpNic implements MmuNotifierOps {
  readonly name = 'odp-nic'
  /** Host page number -> frame: what the card would read and write on its own. */
  readonly table: Map<number, number> = new Map()
  private readonly kernel: Kernel

  constructor(kernel: Kernel) {
    this.kernel = kernel
  }

  /** The card misses: the driver asks the host for the page. A reference is needed only while we look. */
  async map(mm: Parameters<typeof faultInPage>[0], address: Hva): Promise<void> {
    const page = await faultInPage(mm, address, { write: true })
    this.table.set(hvnOf(address), page.pfn)
    this.kernel.putPage(page.pfn)
  }

  async invalidateRangeStart(range: MmuNotifierRange): Promise<void> {
    const mapped = [...this.table.keys()].filter((page) => page >= hvnOf(range.start) && page < hvnOf(range.end))
    if (mapped.length === 0) return
    const { sched } = this.kernel
    console.log(`  ${sched.now} ns  hook: ${range.event} of ${mapped.length} mapped pages, waiting for the card`)
    await sched.sleep(DRAIN)
    for (const page of mapped) this.table.delete(page)
    console.log(`  ${sched.now} ns  hook: the card has let go`)
  }

  release(): void {
    this.table.clear()
  }
}

const kernel = new Kernel({ frames: 256 })
await kernel.run(async () => {
  const mm = await kernel.createMm('application')
  const buffer = await mm.mmap({ length: 8 * PAGE_SIZE })
  const nic = new OdpNic(kernel)
  const registration = await mmuNotifierRegister(nic, mm)
  for (let i = 0; i < 8; i++) await nic.map(mm, hva(buffer.start + i * PAGE_SIZE))

  console.log(`the card knows ${nic.table.size} pages; the application unmaps 3 of them`)
  await mm.munmap(buffer.start + 2 * PAGE_SIZE, 3 * PAGE_SIZE)
  console.log(`  ${kernel.sched.now} ns  munmap has returned: it waited for the hook, which slept`)
  console.log(`the card knows ${nic.table.size} pages`)

  await mmuNotifierUnregister(registration, mm)
  console.log(`unregistered: the card knows ${nic.table.size} pages, and no hook will run again`)
  await mm.exit()
  kernel.assertBalanced()
})
