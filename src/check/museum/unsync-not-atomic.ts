/** unsync-not-atomic: two faults that share mmu_lock count one table twice. */
import { KernelBug } from '../../base/index.ts'
import { ShadowMmu, ShadowSync, Vm } from '../../mmu/index.ts'
import type { Memslot, Mmu, MmuPage } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import type { Scenario } from '../scenario.ts'
import { guestLoad, guestStore } from '../world.ts'
import { withParts } from './exhibit.ts'
import type { Exhibit } from './exhibit.ts'
import { DATA, LEAVES, TABLE_PAGES, buildTables, leafOf, turnPagingOn } from './guest-tables.ts'

/** Beside the set a count, as Linux has one in every table above (unsync_children). */
class CountsUnsync extends ShadowSync {
  private children = 0

  override markUnsync(page: MmuPage): void {
    super.markUnsync(page)
    this.children++
  }

  protected override syncPage(page: MmuPage): number {
    const dropped = super.syncPage(page)
    this.children--
    if (this.unsync.size > 0 || this.children === 0) return dropped
    throw new KernelBug(`unsync_children is ${this.children}, and all tables are in sync`, 'I6')
  }
}

class CountsUnsyncMmu extends ShadowMmu {
  protected override createSync(vm: Vm): ShadowSync {
    return new CountsUnsync(vm)
  }
}

/** mmu_lock held for reading keeps nobody out between the look and the mark. */
class LooksThenMarksMmu extends CountsUnsyncMmu {
  protected override async mayWriteShared(slot: Memslot, frame: number, isWrite: boolean): Promise<boolean> {
    if (!isWrite || this.isTracked(slot, frame)) return super.mayWriteShared(slot, frame, isWrite)
    const { pages, sched } = this.vm
    const inSync = pages.shadowing(frame).filter((page) => !page.unsync)
    if (sched.contended) await sched.point(this.sync, 'w', 'looked, not marked')
    for (const page of inSync) this.sync.markUnsync(page)
    return true
  }
}

class CountsUnsyncVm extends Vm {
  protected override createMmu(): Mmu {
    return new CountsUnsyncMmu(this)
  }
}

class LooksThenMarksVm extends Vm {
  protected override createMmu(): Mmu {
    return new LooksThenMarksMmu(this)
  }
}

/** Two vCPUs without paging store to a page that a third one knows as its page table. */
const editTogether: Scenario = defineScenario({
  name: 'two-stores-to-a-table',
  what: 'two vCPUs that share mmuLock store to a page that is the page table of a third',
  invariants: ['I6', 'I12'],
  world: { pages: TABLE_PAGES, vcpus: 3, vm: { paging: 'shadow', mmuLock: 'shared' }, kernel: { frames: 128 } },
  async setup(world) {
    const { vcpu, vcpus } = world
    await buildTables(world)
    turnPagingOn(vcpu)
    await guestLoad(world, 0)
    vcpu.exitGuest()
    for (const editor of vcpus.slice(1)) {
      await guestLoad(world, DATA, editor)
      editor.exitGuest()
    }
  },
  tasks: {
    async vcpu1(world) {
      await guestStore(world, LEAVES, BigInt(leafOf(DATA)), world.vcpus[1], 8 * 8)
      world.vcpus[1]!.exitGuest()
    },
    async vcpu2(world) {
      await guestStore(world, LEAVES, BigInt(leafOf(DATA)), world.vcpus[2], 8 * 9)
      world.vcpus[2]!.exitGuest()
    },
  },
  async end(world) {
    world.vcpu.sfenceVma(-1, -1)
    await guestLoad(world, 0)
    world.vcpu.exitGuest()
  },
})

export const unsyncNotAtomic: Exhibit = {
  name: 'unsync-not-atomic',
  rank: 26,
  family: 'bookkeeping',
  fix: {
    commit: 'ce25681d59ff',
    subject: 'KVM: x86/mmu: Protect marking SPs unsync when using TDP MMU with spinlock',
    version: 'v5.14',
  },
  story: [
    'Two faults store to a page that is a page table of the guest. Both hold mmu_lock, which they share; both find the shadow of the',
    'table in sync, both mark it, and both count it in the tables above. The next sync finds one and counts one down: the number never',
    'comes back to zero. With a lock of its own around the mark, and a second look under it, the second fault finds the mark. Umbra',
    'keeps a set instead, in which a table is once; here the count of Linux stands beside it, with either way to mark.',
  ],
  correct: [
    'spin_lock(&kvm->arch.mmu_unsync_pages_lock);',
    'if (READ_ONCE(sp->unsync)) continue;',
    'kvm_unsync_page(kvm, sp);',
  ],
  historical: ['if (sp->unsync) continue;', 'kvm_unsync_page(kvm, sp);'],
  breaks: 'I6',
  schedules: 100,
  shortest: { preemptions: 1, steps: 55 },
  scenario: withParts(editTogether, { vm: CountsUnsyncVm }),
  bug: withParts(editTogether, { vm: LooksThenMarksVm }),
}
