/** A frame that the hypervisor keeps at hand: who must hear of its end, and what it must be known by. */
import { KernelBug, PAGE_SIZE, gpa } from '../../base/index.ts'
import type { Gpa } from '../../base/index.ts'
import { GfnToPfnCache } from '../../mmu/index.ts'
import type { Vm } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { FIRST_GFN, guestLoad } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

/** Hears of no invalidation. */
class NotTold extends GfnToPfnCache {
  override invalidate(): void {}
}

/** Knows by its memslots alone whether it is the right page. */
class KnownBySlots extends GfnToPfnCache {
  override async refresh(address: Gpa = this.gpa): Promise<void> {
    if (!this.check()) await super.refresh(address)
  }
}

const addressOf = (page: number): Gpa => gpa((FIRST_GFN + page) * PAGE_SIZE)

function dontneedAgainstWriter(makeCache: (vm: Vm) => GfnToPfnCache): Scenario {
  return defineScenario({
    name: 'dontneed-against-writer',
    what: 'the hypervisor writes a page through an address kept at hand, while the host takes the page away',
    invariants: ['I1', 'I2', 'I7'],
    world: { pages: 1, kernel: { frames: 96 } },
    async setup({ vm }) {
      const cache = makeCache(vm)
      await cache.activate(addressOf(0))
      return cache
    },
    tasks: {
      dontneed: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
      writer: (_, cache) => cache.write(0, new Uint8Array([1])),
    },
    end: async (_, cache) => cache.deactivate(),
  })
}

/** The guest moves its steal-time page: from now on the next page is written. */
function guestMovesPage(makeCache: (vm: Vm) => GfnToPfnCache): Scenario {
  return defineScenario({
    name: 'guest-moves-its-page',
    what: 'a guest asks for its steal time in another page, while the host takes the old one away',
    invariants: ['I7'],
    world: { pages: 2, kernel: { frames: 96 } },
    async setup({ vm }) {
      const cache = makeCache(vm)
      await cache.activate(addressOf(0))
      return cache
    },
    tasks: {
      dontneed: ({ mm, ram }) => mm.madvise(ram, PAGE_SIZE, 'dontneed'),
      async host(world, cache) {
        await cache.refresh(addressOf(1))
        await cache.write(0, new Uint8Array([9]))
        const seen = await guestLoad(world, 1)
        world.vcpu.exitGuest()
        if (seen !== 9n) throw new KernelBug(`the guest reads ${seen} in its new page: 9 went elsewhere`, 'I7')
      },
    },
    end: async (_, cache) => cache.deactivate(),
  })
}

export const pfnCacheFamily: readonly Exhibit[] = [
  {
    name: 'cache-not-in-notifier',
    rank: 30,
    family: 'retry',
    fix: {
      commit: '7e2175ebd695',
      subject: 'KVM: x86: Fix recording of guest steal time / preempted status',
      version: 'v5.16',
    },
    story: [
      'The host keeps the frame of a guest page at hand, to write the steal time there again and again. The notifier knows nothing of',
      'it: the page goes, the frame is freed, and the next write lands in whatever the frame holds by then. Whatever keeps a host',
      'address is an spte. The repair drops the cache for a user access; later the cache of frames was put under the notifier.',
    ],
    correct: ['gfn_to_pfn_cache_invalidate_start(kvm, range->start, range->end);'],
    historical: ['/* the notifier walks sptes only */'],
    breaks: 'I2',
    schedules: 5,
    shortest: { preemptions: 0, steps: 30 },
    leadsTo: 'cache-key-without-gpa',
    scenario: dontneedAgainstWriter((vm) => new GfnToPfnCache(vm)),
    bug: dontneedAgainstWriter((vm) => new NotTold(vm)),
  },
  {
    name: 'cache-key-without-gpa',
    rank: 30,
    family: 'retry',
    fix: {
      commit: '901d3765fa80',
      subject: 'KVM: x86: revalidate steal time cache if MSR value changes',
      version: 'v6.0',
    },
    story: [
      'The repair of the last one dropped a comparison on the way: the cache is known by the generation of the memslots, which has not',
      'changed, and not by its address, which has. The guest moves its page, and the host goes on writing to the old one - unless an',
      'invalidation happened to come in between.',
    ],
    correct: ['if (gpc->valid && gpc->generation == slots->generation && gpc->gpa == gpa) return 0;'],
    historical: ['if (gpc->valid && gpc->generation == slots->generation) return 0;'],
    breaks: 'I7',
    schedules: 10,
    shortest: { preemptions: 0, steps: 35 },
    scenario: guestMovesPage((vm) => new GfnToPfnCache(vm)),
    bug: guestMovesPage((vm) => new KnownBySlots(vm)),
  },
]
