/** Shadow paging: tables that the guest edits while others still translate through them. */
import { KernelBug, PAGE_SIZE, hpa } from '../../base/index.ts'
import { PTE_V, PTE_W, PteResult, pteLow } from '../../hardware/index.ts'
import { migratePage, ptePfn, pteValid } from '../../host/index.ts'
import { HostPteSource, KVM_MEM_LOG_DIRTY_PAGES, ShadowMmu, ShadowSync, Sptes, Vcpu, Vm } from '../../mmu/index.ts'
import type { Mmu } from '../../mmu/index.ts'
import { defineScenario } from '../scenario.ts'
import { FIRST_GFN, guestLoad, guestStore, pageOf, runGuest } from '../world.ts'
import type { World } from '../world.ts'
import type { Exhibit } from './exhibit.ts'
import {
  DATA,
  LEAVES,
  MIDDLE,
  OTHER_DATA,
  TABLE_PAGES,
  buildTables,
  forgetUse,
  leafOf,
  turnPagingOn,
} from './guest-tables.ts'

/** Looks at W alone: an spte that only the dirty log has made read-only counts as protected. */
class SkipsProtected extends Sptes {
  protected override writeProtect(sptep: number, forGuestTable: boolean): boolean {
    return (this.read(sptep) & PTE_W) !== 0 && super.writeProtect(sptep, forGuestTable)
  }
}

class SkipsProtectedVm extends Vm {
  protected override createSptes(): Sptes {
    return new SkipsProtected(this)
  }
}

/** Drops sptes that no longer agree with the guest's tables, and leaves the flush to whoever comes next. */
class DefersFlush extends ShadowSync {
  override async syncAll(): Promise<void> {
    const pages = [...this.unsync]
    let protect = 0
    for (const page of pages) protect += this.protect(page)
    if (protect > 0) await this.vm.flush.remoteAll()
    for (const page of pages) this.syncPage(page)
  }
}

class DefersFlushMmu extends ShadowMmu {
  protected override createSync(vm: Vm): ShadowSync {
    return new DefersFlush(vm)
  }
}

class DefersFlushVm extends Vm {
  protected override createMmu(): Mmu {
    return new DefersFlushMmu(this)
  }
}

/** Takes it that a table stays in the frame where it was first found. */
class KeepsFrames extends HostPteSource {
  private readonly frames = new Map<number, number>()

  protected override locate(address: number, write: boolean): number {
    const page = Math.floor(address / PAGE_SIZE)
    const at = super.locate(address, write)
    if (at >= 0 && !this.frames.has(page)) this.frames.set(page, Math.floor(at / PAGE_SIZE))
    return at
  }

  /** Sets the bits where the table was, whatever is there now. */
  override compareAndSet(address: number, low: number, high: number, newLow: number): PteResult {
    const frame = this.frames.get(Math.floor(address / PAGE_SIZE))!
    const at = super.locate(address, true)
    if (at < 0 || Math.floor(at / PAGE_SIZE) === frame) return super.compareAndSet(address, low, high, newLow)
    this.vcpu.vm.memory.writePte(hpa(frame * PAGE_SIZE + (address % PAGE_SIZE)), newLow, high)
    return PteResult.done
  }
}

class KeepsFramesVcpu extends Vcpu {
  protected override createHostSource(): HostPteSource {
    return new KeepsFrames(this, this.hostWalker)
  }
}

class KeepsFramesVm extends Vm {
  protected override createVcpuObject(id: number, tlb: ConstructorParameters<typeof Vcpu>[2]): Vcpu {
    return new KeepsFramesVcpu(this, id, tlb)
  }
}

const MISSED_FLUSH = {
  commit: 'f81602958c11',
  subject: 'KVM: X86: Fix missed remote tlb flush in rmap_write_protect()',
  version: 'v5.15',
} as const
const SYNC_FLUSHES = [
  'flush |= kvm_sync_page(vcpu, sp, &invalid_list);',
  'kvm_mmu_remote_flush_or_zap(kvm, &invalid_list, flush);',
]
const SYNC_DEFERS = ['flush |= kvm_sync_page(vcpu, sp, &invalid_list);', '/* flushed when the root is loaded next */']

/** First page that the second entry of MIDDLE maps. */
const SECOND_REGION = 512

const SHADOW = { pages: TABLE_PAGES, vcpus: 2, vm: { paging: 'shadow' }, kernel: { frames: 128 } } as const

/** One vCPU edits a table, the other fences and looks: the new page must show. */
async function editAndLook(world: World): Promise<void> {
  const [walker, editor] = world.vcpus as [Vcpu, Vcpu]
  turnPagingOn(walker)
  await guestLoad(world, 0, walker)
  walker.exitGuest()
  await guestStore(world, LEAVES, BigInt(leafOf(OTHER_DATA)), editor)
  editor.exitGuest()
  walker.sfenceVma(-1, -1)
  const seen = await guestLoad(world, 0, walker)
  walker.exitGuest()
  if (seen === BigInt(OTHER_DATA)) return
  throw new KernelBug(`after the fence the guest still reads ${seen}, the page of its old PTE`, 'I12')
}

/** A guest has unmapped a page; it fences, and makes the page the table of its second region. */
async function makeTable(world: World): Promise<void> {
  const { vcpu } = world
  vcpu.sfenceVma(-1, -1)
  await guestStore(world, MIDDLE, BigInt(pteLow(FIRST_GFN + OTHER_DATA, PTE_V)), vcpu, 8)
  await guestLoad(world, SECOND_REGION)
  vcpu.exitGuest()
}

/** The other vCPU stores to the page, if it still can; after a fence the guest reads through the table as it is. */
async function storeToTable(world: World): Promise<void> {
  const other = world.vcpus[1]!
  await guestStore(world, OTHER_DATA, BigInt(leafOf(LEAVES)), other)
  other.exitGuest()
  world.vcpu.sfenceVma(-1, -1)
  const seen = await guestLoad(world, SECOND_REGION)
  world.vcpu.exitGuest()
  const pte = await world.thread.load64(pageOf(world, OTHER_DATA))
  if (pte === BigInt(leafOf(DATA)) || seen !== BigInt(DATA)) return
  throw new KernelBug('a PTE was stored to, and after the fence the guest still reads the page of the old one', 'I12')
}

export const guestTableFamily: readonly Exhibit[] = [
  {
    name: 'wrprot-skip',
    rank: 21,
    family: 'tables',
    fix: {
      commit: '7c8a4742c4ab',
      subject: 'KVM: x86/mmu: Fix write-protection of PTs mapped by the TDP MMU',
      version: 'v5.17',
    },
    story: [
      'The dirty log has made a page read-only, with a note that a store may make it writable again without a lock. Then the page',
      'becomes a page table of the guest and must be protected for good. The protection finds it read-only, and skips it: the note',
      'stays. A store makes the page writable, unseen, and the shadow of the table is stale for ever. The repair tests the note as well.',
    ],
    correct: ['if (!is_writable_pte(iter.old_spte) && !is_mmu_writable_spte(iter.old_spte)) break;'],
    historical: ['if (!is_writable_pte(iter.old_spte)) break;'],
    breaks: 'I12',
    schedules: 5,
    shortest: { preemptions: 0, steps: 65 },
    scenario: defineScenario({
      name: 'harvest-against-table-edit',
      what: 'the dirty log is read while a guest makes a page its page table, edits it and fences',
      invariants: ['I7', 'I9', 'I12'],
      world: { ...SHADOW, slotFlags: KVM_MEM_LOG_DIRTY_PAGES },
      async setup(world) {
        await buildTables(world)
        // The editor runs without paging: it knows the table as a page like any other.
        await guestStore(world, LEAVES, BigInt(leafOf(DATA)), world.vcpus[1])
        world.vcpus[1]!.exitGuest()
      },
      tasks: {
        harvest: async ({ vm }) => void (await vm.getDirtyLog(0)),
        guest: editAndLook,
      },
    }),
    bug: { vm: SkipsProtectedVm },
  },
  {
    name: 'missed-remote-flush',
    rank: 22,
    family: 'flush',
    fix: MISSED_FLUSH,
    story: [
      'A vCPU fences; its shadow tables are compared with what the guest has written, and an spte that no longer agrees is dropped. The',
      'flush is put off. Then the page becomes a page table of the guest, which has to be write-protected: the reverse map knows no spte',
      'of it, so there is nothing to protect, and nothing to flush. Another vCPU still has it in its TLB, stores to the table, and nobody',
      'sees it: the shadow counts as in sync, whatever the guest fences. The repair flushes when it syncs.',
    ],
    correct: SYNC_FLUSHES,
    historical: SYNC_DEFERS,
    breaks: 'I12',
    schedules: 60,
    shortest: { preemptions: 0, steps: 60 },
    scenario: defineScenario({
      name: 'page-becomes-table',
      what: 'a guest unmaps a page and makes it a page table, while another vCPU has it in its TLB',
      invariants: ['I7', 'I9', 'I12'],
      world: SHADOW,
      async setup(world) {
        await buildTables(world)
        for (const vcpu of world.vcpus) turnPagingOn(vcpu)
        // It stays in guest mode, and keeps the page in its TLB.
        await guestStore(world, OTHER_DATA, BigInt(leafOf(DATA)), world.vcpus[1])
        await guestStore(world, LEAVES, 0n, world.vcpu, OTHER_DATA * 8)
        world.vcpu.exitGuest()
      },
      tasks: {
        owner: makeTable,
        other: (world) => runGuest(world, [{ store: OTHER_DATA, value: BigInt(leafOf(DATA)) }], world.vcpus[1]),
      },
      end: storeToTable,
    }),
    bug: { vm: DefersFlushVm },
  },
  {
    name: 'sync-without-flush',
    rank: 22,
    family: 'flush',
    fix: MISSED_FLUSH,
    story: [
      'The other face of missed-remote-flush: whoever needs the page next may as well be the host. A guest unmaps a page and fences, its',
      'spte is dropped and the flush put off; then the page goes back to the host, as from a balloon. The hook asks the reverse map, finds',
      'no spte, and concludes that nobody has the page: the frame is freed, and a vCPU that still knows it goes on with it.',
    ],
    correct: SYNC_FLUSHES,
    historical: SYNC_DEFERS,
    breaks: 'I1',
    schedules: 90,
    shortest: { preemptions: 0, steps: 60 },
    scenario: defineScenario({
      name: 'fence-against-dontneed',
      what: 'a guest unmaps a page, fences, and gives it back to the host; another vCPU has it in its TLB',
      invariants: ['I1', 'I2'],
      world: SHADOW,
      async setup(world) {
        await buildTables(world)
        const [editor, other] = world.vcpus as [Vcpu, Vcpu]
        for (const vcpu of world.vcpus) turnPagingOn(vcpu)
        for (const vcpu of world.vcpus) {
          await guestLoad(world, 0, vcpu)
          vcpu.exitGuest()
        }
        await guestStore(world, LEAVES, BigInt(leafOf(OTHER_DATA)), editor)
        editor.exitGuest()
        // It stays in guest mode.
        await guestLoad(world, 0, other)
      },
      tasks: {
        async balloon(world) {
          world.vcpu.sfenceVma(-1, -1)
          await guestLoad(world, 0)
          world.vcpu.exitGuest()
          await world.mm.madvise(pageOf(world, DATA), PAGE_SIZE, 'dontneed')
        },
        other: (world) => runGuest(world, [{ load: 0 }], world.vcpus[1]),
      },
    }),
    bug: { vm: DefersFlushVm },
  },
  {
    name: 'gpte-update-by-pfn',
    rank: 28,
    family: 'tables',
    fix: {
      commit: '2a8859f373b0',
      subject: 'KVM: x86/mmu: do compare-and-exchange of gPTE via the user address',
      version: 'v5.18',
    },
    story: [
      "CVE-2022-1158. The walk of a guest's tables sets the accessed bit in the guest's PTE. It computed the frame of the table from",
      'the place of its mapping, as if it could never move, and wrote there. The host had put the table elsewhere: the bit lands in a',
      'frame of somebody else. The repair writes through the user address.',
    ],
    correct: ['ret = __try_cmpxchg_user(ptep_user, &orig_pte, pte, fault);'],
    historical: [
      'pfn = ((vaddr - vma->vm_start) >> PAGE_SHIFT) + vma->vm_pgoff;',
      'table = memremap(pfn << PAGE_SHIFT, PAGE_SIZE, MEMREMAP_WB);',
      'ret = CMPXCHG(&table[index], orig_pte, new_pte);',
    ],
    breaks: 'I7',
    schedules: 40,
    shortest: { preemptions: 0, steps: 60 },
    scenario: defineScenario({
      name: 'migration-of-guest-table',
      what: 'the page of a guest table moves, and its frame becomes that of another page, while a guest walks the table',
      invariants: ['I2', 'I7'],
      world: { ...SHADOW, vcpus: 1 },
      async setup(world) {
        await buildTables(world)
        await forgetUse(world)
        turnPagingOn(world.vcpu)
        await guestLoad(world, DATA)
        world.vcpu.exitGuest()
        return (await world.mm.mmap({ length: PAGE_SIZE })).start
      },
      tasks: {
        async migrate(world, other) {
          const { kernel, mm, thread } = world
          const pte = mm.pageTable.read(pageOf(world, LEAVES))
          if (pteValid(pte)) await migratePage(kernel, ptePfn(pte))
          await thread.store64(other, 7n)
          await kernel.sched.yieldNow()
          await thread.load64(other)
        },
        async vcpu0(world) {
          world.vcpu.sfenceVma(-1, -1)
          await guestLoad(world, 0)
          world.vcpu.exitGuest()
        },
      },
    }),
    bug: { vm: KeepsFramesVm },
  },
]
