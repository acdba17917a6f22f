/** cached-hpa-reload-in-window: a host address kept at hand is an spte in all but name. */
import { PAGE_SIZE, gpa } from '../../base/index.ts'
import { GfnToPfnCache } from '../../mmu/index.ts'
import type { Vm } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { FIRST_GFN } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

class Eager extends GfnToPfnCache {
  protected override mustRetry(): boolean {
    return false
  }
}

function dontneedAgainstCache(makeCache: (vm: Vm) => GfnToPfnCache): Scenario {
  return defineScenario({
    name: 'dontneed-against-cached-address',
    what: 'the hypervisor writes a guest page through an address kept at hand, while the host takes the page away',
    invariants: ['I1', 'I2', 'I7'],
    world: { pages: 1, kernel: { frames: 96 } },
    async setup({ vm }) {
      const cache = makeCache(vm)
      await cache.activate(gpa(FIRST_GFN * PAGE_SIZE))
      return cache
    },
    tasks: {
      async dontneed({ mm, ram }) {
        for (let round = 0; round < 2; round++) await mm.madvise(ram, PAGE_SIZE, 'dontneed')
      },
      async writer({ kernel }, cache) {
        for (let round = 0; round < 3; round++) {
          await cache.write(0, new Uint8Array([round]))
          await kernel.sched.yieldNow()
        }
      },
    },
    end: async (_, cache) => cache.deactivate(),
  })
}

export const cachedHpaReloadInWindow: Exhibit = {
  name: 'cached-hpa-reload-in-window',
  rank: 15,
  family: 'retry',
  fix: {
    commit: 'e649b3f0188f',
    subject: 'KVM: x86: Fix APIC page invalidation race',
    version: 'v5.8',
  },
  story: [
    'The host asks all vCPUs to look up again the address of a page that the hypervisor keeps at hand. A vCPU does so at once and',
    'finds the PTE, which is still there; then the host clears it and frees the frame. The vCPU goes on with a dead frame, and',
    'nobody asks again. In 2017 a Windows guest hung at boot on an overcommitted host. The repair looks up again while an',
    'invalidation is open.',
  ],
  correct: [
    'do {',
    '    mmu_seq = kvm->mmu_invalidate_seq;',
    '    new_pfn = hva_to_pfn(...);',
    '} while (mmu_notifier_retry_cache(kvm, mmu_seq));',
  ],
  historical: ['new_pfn = hva_to_pfn(...);'],
  breaks: 'I2',
  schedules: 20,
  shortest: { preemptions: 1, steps: 40 },
  scenario: dontneedAgainstCache((vm) => new GfnToPfnCache(vm)),
  bug: dontneedAgainstCache((vm) => new Eager(vm)),
}
