/** writable-assumed: what the host maps read-only, the guest may write. */
import { PageFaults, Vm } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

class AssumesWritable extends PageFaults {
  protected override async faultInPage(
    ...args: Parameters<PageFaults['faultInPage']>
  ): ReturnType<PageFaults['faultInPage']> {
    return { ...(await super.faultInPage(...args)), writable: true }
  }
}

class AssumesWritableVm extends Vm {
  protected override createFaults(): PageFaults {
    return new AssumesWritable(this)
  }
}

export const writableAssumed: Exhibit = {
  name: 'writable-assumed',
  rank: 27,
  family: 'tables',
  fix: { commit: 'bd2fae8da794', subject: 'KVM: do not assume PTE is writable after follow_pfn', version: 'v5.12' },
  story: [
    'A fault on a mapping that has no counted pages finds the frame in the host PTE, and takes it that the PTE allows writing, whatever',
    'it says. A guest that only reads gets a writable spte, and what it stores next goes past the copy on write of its host. Here the',
    'mapping is an ordinary one that a fork shares. The repair looks at the PTE. (The commit is cited from memory.)',
  ],
  correct: ['if (writable)', '    *writable = pte_write(*ptep);'],
  historical: ['if (writable)', '    *writable = true;'],
  breaks: 'I9',
  schedules: 5,
  shortest: { preemptions: 0, steps: 20 },
  scenario: defineScenario({
    name: 'guest-reads-what-a-fork-shares',
    what: 'a guest reads, and then writes, a page that a fork shares',
    invariants: ['I1', 'I7', 'I9'],
    world: { pages: 1, kernel: { frames: 64 } },
    async setup({ mm, ram, thread }) {
      await thread.store64(ram, 1n)
      return mm.fork('child')
    },
    tasks: { vcpu0: (world) => runGuest(world, [{ load: 0 }, { store: 0, value: 2n }]) },
    end: (_, child) => child.exit(),
  }),
  bug: { vm: AssumesWritableVm },
}
