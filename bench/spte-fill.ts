/** The page fault path: what a guest's first touch of a page costs, and a touch that hits. */
import { PAGE_SIZE } from '../src/base/index.ts'
import type { Gvn } from '../src/base/index.ts'
import { Kernel } from '../src/host/index.ts'
import type { Paging } from '../src/mmu/index.ts'
import { quietCalls } from './measure.ts'
import { ratio, time } from './report.ts'
import type { Report, Subject } from './report.ts'
import { GUEST_BASE, VmFixture } from './vm.ts'

const PAGES = 4096
const MODES: readonly Paging[] = ['two-dimensional', 'shadow']

interface Costs {
  /** Nanoseconds a page. */
  readonly hit: number
  readonly fill: number
  readonly fillAndFault: number
  readonly host: number
}

export const spteFill: Subject = {
  name: 'spte-fill',
  title: 'Filling sptes',
  async measure(): Promise<Report> {
    const costs = new Map<Paging, Costs>()
    for (const paging of MODES) costs.set(paging, await measureMode(paging))
    return {
      tables: [
        {
          title: `one store of the guest, a page (${PAGES} pages, untranslated guest)`,
          columns: [
            '',
            'TLB hit',
            'spte missing',
            'spte and host page missing',
            'host thread, page missing',
            'fill / host fault',
          ],
          rows: [...costs].map(([paging, { hit, fill, fillAndFault, host }]) => [
            paging,
            time(hit),
            time(fill),
            time(fillAndFault),
            time(host),
            ratio(fill / host),
          ]),
        },
      ],
    }
  },
}

async function measureMode(paging: Paging): Promise<Costs> {
  const kernel = new Kernel({ frames: PAGES + 512 })
  return kernel.run(async () => {
    const fixture = await VmFixture.create(kernel, PAGES, PAGES, { paging })
    const thread = fixture.mm.createThread()
    const storeFromHost = async (): Promise<void> => {
      for (let page = 0; page < PAGES; page++) await thread.store8(fixture.start + page * PAGE_SIZE, 1)
    }
    const costs = await quietCalls(10, [
      { prepare: () => fixture.dontneed(PAGES), run: () => fixture.populateGuest(PAGES) },
      { prepare: () => fixture.vm.zapAll('memslot'), run: () => fixture.populateGuest(PAGES) },
      { prepare: () => fixture.store(0), run: () => hitForAWhile(fixture) },
      { prepare: () => fixture.dontneed(PAGES), run: storeFromHost },
    ])
    await fixture.destroy()
    const [fillAndFault, fill, hit, host] = costs.map((cost) => cost / PAGES)
    return { hit: hit!, fill: fill!, fillAndFault: fillAndFault!, host: host! }
  })
}

function hitForAWhile(fixture: VmFixture): void {
  const { vcpu } = fixture
  const page = (GUEST_BASE / PAGE_SIZE) as Gvn
  for (let i = 0; i < PAGES; i++) vcpu.translateWrite(page)
  vcpu.exitGuest()
}
