/** read-lock-reclaims: faults that share mmu_lock throw tables away, each other's among them. */
import { TdpMmu, Vm } from '../../mmu/index.ts'
import type { Mmu } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { guestLoad, runGuest } from '../world.ts'
import type { Exhibit } from './exhibit.ts'

class MakesRoom extends TdpMmu {
  override async mapShared(...args: Parameters<TdpMmu['mapShared']>): ReturnType<TdpMmu['mapShared']> {
    await this.vm.pages.makeRoom(this.tablesNeeded)
    return super.mapShared(...args)
  }
}

class MakesRoomVm extends Vm {
  protected override createMmu(): Mmu {
    return new MakesRoom(this)
  }
}

export const readLockReclaims: Exhibit = {
  name: 'read-lock-reclaims',
  rank: 25,
  family: 'tables',
  fix: {
    commit: '47b0c2e4c220',
    subject: 'KVM: x86/mmu: Fix race condition in direct_page_fault',
    version: 'v6.1',
  },
  story: [
    'CVE-2022-45869. Faults of the TDP MMU share mmu_lock: they only add entries, each by compare-and-exchange. But on the way they made',
    'room for tables like the others, and that takes tables away, which needs the other side of the lock. While one fault zaps a table',
    'and waits for the vCPUs to forget it, another one that has walked into it maps its page there; then the table is freed.',
    'The repair makes no room on that path: these tables do not count.',
  ],
  correct: [
    'read_lock(&vcpu->kvm->mmu_lock);',
    'if (is_page_fault_stale(vcpu, fault)) goto out_unlock;',
    'r = kvm_tdp_mmu_map(vcpu, fault);',
  ],
  historical: [
    'read_lock(&vcpu->kvm->mmu_lock);',
    'if (is_page_fault_stale(vcpu, fault)) goto out_unlock;',
    'r = make_mmu_pages_available(vcpu);',
    'if (r) goto out_unlock;',
    'r = kvm_tdp_mmu_map(vcpu, fault);',
  ],
  breaks: 'I2',
  schedules: 60,
  shortest: { preemptions: 1, steps: 60 },
  scenario: defineScenario({
    name: 'two-faults-share-the-lock',
    what: 'two vCPUs fault on neighbouring pages, with mmuLock shared and few table pages',
    invariants: ['I1', 'I2', 'I10'],
    world: { pages: 3, vcpus: 2, vm: { mmuLock: 'shared', shadowPageLimit: 4 }, kernel: { frames: 96 } },
    async setup(world) {
      for (const vcpu of world.vcpus) {
        await guestLoad(world, 0, vcpu)
        vcpu.exitGuest()
      }
    },
    tasks: {
      vcpu0: (world) => runGuest(world, [{ load: 1 }]),
      vcpu1: (world) => runGuest(world, [{ load: 2 }], world.vcpus[1]),
    },
  }),
  bug: { vm: MakesRoomVm },
}
