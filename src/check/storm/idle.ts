/** idle: asks which pages are in use, as DAMON and page-idle tracking do: clear_young and test_young, and no flush. */
import { PAGE_SIZE } from '../../base/index.ts'
import type { Random } from '../../base/index.ts'
import { isPageIdle, isPageYoung, ptePfn, pteValid, setPageIdle } from '../../host/index.ts'
import { pickSpan } from './storm.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_PAGES = 8

async function operate(target: StormTarget, random: Random): Promise<void> {
  const { kernel, pageTable } = target.mm
  const range = pickSpan(target, random, MOST_PAGES)
  for (let hva = range.start; hva < range.start + range.length; hva += PAGE_SIZE) {
    const pte = pageTable.read(hva)
    const pfn = ptePfn(pte)
    if (!pteValid(pte) || pfn === kernel.zeroPfn) continue
    if (await isPageIdle(kernel, pfn)) continue
    await isPageYoung(kernel, pfn)
    await setPageIdle(kernel, pfn)
  }
}

export const idle: StormKind = {
  name: 'idle',
  summary: 'asks which pages are in use and marks them idle, without a flush',
  operate,
}
