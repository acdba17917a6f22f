/** reclaim: ages pages, and sends those that nobody used to swap, as kswapd does when memory is short. */
import type { Random } from '../../base/index.ts'
import type { StormKind, StormTarget } from './storm.ts'

const MOST_PAGES = 48

async function operate(target: StormTarget, random: Random): Promise<void> {
  await target.mm.kernel.reclaim.reclaimPages(random.between(1, MOST_PAGES))
}

export const reclaim: StormKind = {
  name: 'reclaim',
  summary: 'ages pages by the young hooks, and swaps out those that nobody used',
  operate,
}
