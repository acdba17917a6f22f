/** free-without-grace: a client that frees its notifier while a hook may still run. */
import { PAGE_SIZE } from '../../base/index.ts'
import {
  mmuNotifierCallSrcu,
  mmuNotifierRegister,
  mmuNotifierSynchronize,
  mmuNotifierUnregisterNoRelease,
} from '../../notifier/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import type { Exhibit } from './exhibit.ts'

function munmapAgainstFree(atOnce: boolean): Scenario {
  return defineScenario({
    name: 'munmap-against-free',
    what: 'a client unlinks its notifier and frees it while munmap walks the list',
    invariants: ['I5'],
    world: { pages: 1, vm: null, kernel: { frames: 64 } },
    async setup({ kernel, mm, ram, thread }) {
      await thread.store64(ram, 1n)
      return mmuNotifierRegister({ name: 'hmm', invalidateRangeStart: () => kernel.sched.yieldNow() }, mm)
    },
    tasks: {
      munmap: ({ mm, ram }) => mm.munmap(ram, PAGE_SIZE),
      async client({ kernel, mm }, mn) {
        await mmuNotifierUnregisterNoRelease(mn, mm)
        if (atOnce) return mn.free()
        mmuNotifierCallSrcu(kernel.srcu, () => mn.free())
        await mmuNotifierSynchronize(kernel.srcu)
      },
    },
  })
}

export const freeWithoutGrace: Exhibit = {
  name: 'free-without-grace',
  rank: 7,
  family: 'lifetime',
  fix: {
    commit: '6d7c3cde93c1',
    subject: 'mm/hmm: fix use after free with struct hmm in the mmu notifiers',
    version: 'v5.3',
  },
  story: [
    'munmap, in its read section, has picked the notifier of a client. The client uses the variant of unregister that does not',
    'wait, and frees at once; munmap calls into freed memory. The repair frees from an SRCU callback.',
  ],
  correct: [
    'mmu_notifier_unregister_no_release(&hmm->mmu_notifier, mm);',
    'mmu_notifier_call_srcu(&hmm->rcu, hmm_free_rcu);',
  ],
  historical: ['mmu_notifier_unregister_no_release(&hmm->mmu_notifier, mm);', 'kfree(hmm);'],
  breaks: 'I5',
  schedules: 15,
  shortest: { preemptions: 0, steps: 10 },
  scenario: munmapAgainstFree(false),
  bug: munmapAgainstFree(true),
}
