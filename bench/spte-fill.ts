/** The page fault path: what a guest's first touch of a page costs, and a touch that hits. */
import { Kernel } from '../src/host/index.ts'
import type { Paging } from '../src/mmu/index.ts'
import { median, medianOf } from './measure.ts'
import { ratio, time } from './report.ts'
import type { Report, Subject } from './report.ts'
import { VmFixture } from './vm.ts'

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
          columns: ['', 'TLB hit', 'spte missing', 'spte and host page missing', 'host thread, page missing', 'fill / host fault'],
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
      for (let page = 0; page < PAGES; page++) await thread.store8(fixture.start + page * 4096, 1)
    }
    const rounds = { hit: [] as number[], fill: [] as number[], both: [] as number[], host: [] as number[] }
    for (let round = 0; round < 7; round++) {
      await fixture.dontneed(PAGES)
      rounds.both.push(await once(() => fixture.populateGuest(PAGES)))
      await fixture.vm.zapAll('memslot')
      rounds.fill.push(await once(() => fixture.populateGuest(PAGES)))
      rounds.hit.push(await once(() => hitForAWhile(fixture)))
      await fixture.dontneed(PAGES)
      rounds.host.push(await once(storeFromHost))
    }
    await fixture.destroy()
    const each = (samples: number[]): number => median(samples) / PAGES
    return { hit: each(rounds.hit), fill: each(rounds.fill), fillAndFault: each(rounds.both), host: each(rounds.host) }
  })
}

const once = (run: () => Promise<void>): Promise<number> => medianOf(1, () => undefined, run)

async function hitForAWhile(fixture: VmFixture): Promise<void> {
  const { vcpu } = fixture
  await fixture.store(0)
  const page = Math.floor(0x8000_0000 / 4096) as Parameters<typeof vcpu.translateWrite>[0]
  for (let i = 0; i < PAGES; i++) vcpu.translateWrite(page)
  vcpu.exitGuest()
}
