/** link-before-sync: a stale shadow comes back with the table above it. */
import { KernelBug } from '../../base/index.ts'
import { PTE_V, pteLow } from '../../hardware/index.ts'
import { ShadowMmu, ShadowSync, Vm } from '../../mmu/index.ts'
import type { Mmu, Vcpu } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { FIRST_GFN, guestLoad, guestStore } from '../world.ts'
import type { World } from '../world.ts'
import type { Exhibit } from './exhibit.ts'
import { DATA, LEAVES, MIDDLE, OTHER_DATA, TABLE_PAGES, buildTables, leafOf, turnPagingOn } from './guest-tables.ts'

class LinksUnsynced extends ShadowSync {
  override async sync(): Promise<void> {}
}

class LinksUnsyncedMmu extends ShadowMmu {
  protected override createSync(vm: Vm): ShadowSync {
    return new LinksUnsynced(vm)
  }
}

class LinksUnsyncedVm extends Vm {
  protected override createMmu(): Mmu {
    return new LinksUnsyncedMmu(this)
  }
}

/** A guest unlinks a table, fences, edits the table, and links it again: nobody can remember what was in it. */
async function relink(world: World): Promise<void> {
  const [walker, editor] = world.vcpus as [Vcpu, Vcpu]
  await guestLoad(world, 0, walker)
  walker.exitGuest()
  await guestStore(world, MIDDLE, 0n, editor)
  walker.sfenceVma(-1, -1)
  await guestStore(world, LEAVES, BigInt(leafOf(OTHER_DATA)), editor)
  await guestStore(world, MIDDLE, BigInt(pteLow(FIRST_GFN + LEAVES, PTE_V)), editor)
  editor.exitGuest()
  // The fault of another page brings the table back.
  await guestLoad(world, OTHER_DATA, walker)
  const seen = await guestLoad(world, 0, walker)
  walker.exitGuest()
  if (seen !== BigInt(DATA)) return
  throw new KernelBug('the guest reads through a PTE that went before its fence, and was not linked since', 'I12')
}

export const linkBeforeSync: Exhibit = {
  name: 'link-before-sync',
  rank: 23,
  family: 'tables',
  fix: {
    commit: '65855ed8b034',
    subject: 'KVM: X86: Synchronize the shadow pagetable before link it',
    version: 'v5.15',
  },
  story: [
    'A guest takes a table out of its tree, fences, edits an entry, and links it again. Its shadow was kept, and the edit put it out of',
    'sync; the next fault finds it, mends the one entry that it is about, and links the rest as it was. No other fence is due: on x86 an',
    'absent entry is never cached, and on RISC-V the lack of one excuses a fault too many, but no translation that an earlier fence',
    'has ended. The repair compares the shadow with the table before it is linked.',
  ],
  correct: [
    'if (sp->unsync_children && mmu_sync_children(vcpu, sp, false))',
    '    return RET_PF_RETRY;',
    'link_shadow_page(vcpu, it.sptep, sp);',
  ],
  historical: ['link_shadow_page(vcpu, it.sptep, sp);'],
  breaks: 'I12',
  schedules: 5,
  shortest: { preemptions: 0, steps: 85 },
  scenario: defineScenario({
    name: 'table-linked-again',
    what: 'a guest takes out, edits and links a table of its own',
    invariants: ['I1', 'I7', 'I12'],
    world: { pages: TABLE_PAGES, vcpus: 2, vm: { paging: 'shadow' }, kernel: { frames: 128 } },
    async setup(world) {
      await buildTables(world)
      turnPagingOn(world.vcpu)
    },
    tasks: {
      guest: relink,
    },
  }),
  bug: { vm: LinksUnsyncedVm },
}
