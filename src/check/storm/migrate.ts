/** migrate: moves pages to other frames, as compaction does; the guest waits on the migration entry or faults afresh. */
import { PAGE_SIZE } from '../../base/index.ts'
import type { Random } from '../../base/index.ts'
import { migratePage, ptePfn, pteValid } from '../../host/index.ts'
import { pickSpan } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_PAGES = 8

async function operate(target: StormTarget, random: Random): Promise<void> {
  const { mm } = target
  const range = pickSpan(target, random, MOST_PAGES)
  for (let hva = range.start; hva < range.start + range.length; hva += PAGE_SIZE) {
    const pte = mm.pageTable.read(hva)
    const pfn = ptePfn(pte)
    if (pteValid(pte) && pfn !== mm.kernel.zeroPfn) await migratePage(mm.kernel, pfn)
  }
}

export const migrate: StormKind = {
  name: 'migrate',
  summary: 'moves pages to other frames, as memory compaction does',
  operate,
}
