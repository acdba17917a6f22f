/** foreign-refcount: a reference given back that was never taken. */
import type { Pfn } from '../../base/index.ts'
import { Kernel } from '../../host/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestLoad } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

/** Gives back what it got for a page that nobody counts. */
class PutsEverything extends Kernel {
  override putPage(pfn: Pfn): void {
    this.allocator.put(pfn)
  }
}

export const foreignRefcount: Exhibit = {
  name: 'foreign-refcount',
  rank: 27,
  family: 'bookkeeping',
  fix: {
    commit: 'f8156be163be',
    subject: 'KVM: do not allow mapping valid but non-reference-counted pages',
    version: 'v5.13',
  },
  story: [
    'CVE-2021-22543. A VM maps a page that by design nobody counts, such as a part of a larger one, or the zero page here. The fault',
    'drops the reference that it believes to hold: the count reaches zero, and the frame is freed while its owner still uses it.',
    'The repair takes a reference only where there is a count, and refuses the rest.',
  ],
  correct: ['if (!kvm_try_get_pfn(pfn))', '    r = -EFAULT;'],
  historical: ['kvm_get_pfn(pfn); /* 0 -> 1 */', '...', 'kvm_release_pfn_clean(pfn); /* 1 -> 0: freed */'],
  breaks: 'I2',
  schedules: 5,
  shortest: { preemptions: 0, steps: 30 },
  scenario: defineScenario({
    name: 'guest-reads-what-was-never-written',
    what: 'a guest loads from a page that was never written: the host maps the zero page',
    invariants: ['I2', 'I14'],
    world: { pages: 1, kernel: { frames: 96 } },
    tasks: {
      async vcpu0(world) {
        await guestLoad(world, 0)
        world.vcpu.exitGuest()
      },
    },
  }),
  bug: { kernel: PutsEverything },
}
