/**
 * Three tables for one access: the guest's own (guest virtual to guest physical), the host's (host virtual to host
 * physical), and the shadow table that the hypervisor makes of both, which is the one the processor walks.
 */
import {
  Kernel,
  PAGE_SIZE,
  PTE_R,
  PTE_V,
  PTE_W,
  PhysicalPteSource,
  PteResult,
  SV39,
  gfn,
  gpa,
  hex,
  infoMemLines,
  pageTableLeaves,
} from 'umbra'
import type { PteSource, Vm } from 'umbra'
import { GUEST, guestLoad, guestStore, makeVm } from './guest-access.ts'

const PAGES = 16
/** Where the guest puts its tables, one page a level, and what it maps where. */
const ROOT = GUEST + 4 * PAGE_SIZE
const VIRTUAL = 0x4000_0000
const FIRST_DATA = GUEST + 8 * PAGE_SIZE

/** Guest physical memory, as far as the host has it present. */
class GuestTables implements PteSource {
  low = 0
  high = 0
  private readonly vm: Vm

  constructor(vm: Vm) {
    this.vm = vm
  }

  load(address: number): PteResult {
    const { vm } = this
    const pfn = vm.backing.peekPage(vm.hvaOfFrame(gfn(Math.floor(address / PAGE_SIZE))) as never, false)
    const tables = new PhysicalPteSource(vm.memory)
    if (pfn === -1 || tables.load(pfn * PAGE_SIZE + (address % PAGE_SIZE)) !== PteResult.done) return PteResult.missed
    this.low = tables.low
    this.high = tables.high
    return PteResult.done
  }

  compareAndSet(): PteResult {
    return PteResult.vacant
  }
}

function print(title: string, source: PteSource, root: number): void {
  console.log(title)
  for (const line of infoMemLines(pageTableLeaves(source, root, SV39))) console.log(`  ${line}`)
}

const kernel = new Kernel({ frames: 512 })
await kernel.run(async () => {
  const mm = await kernel.createMm()
  const ram = await mm.mmap({ length: PAGES * PAGE_SIZE })
  const { vm, vcpu } = await makeVm(mm, ram, { paging: 'shadow' })
  const writePte = (table: number, index: number, to: number, flags: number): Promise<void> =>
    vm.writeGuest(
      gpa(table + index * 8),
      new Uint8Array(new BigUint64Array([((BigInt(to) >> 12n) << 10n) | BigInt(flags)]).buffer),
    )

  await writePte(ROOT, 1, ROOT + PAGE_SIZE, PTE_V)
  await writePte(ROOT + PAGE_SIZE, 0, ROOT + 2 * PAGE_SIZE, PTE_V)
  // Page 0 and 1 are swapped, page 2 is read-only, page 3 is never touched.
  await writePte(ROOT + 2 * PAGE_SIZE, 0, FIRST_DATA + PAGE_SIZE, PTE_V | PTE_R | PTE_W)
  await writePte(ROOT + 2 * PAGE_SIZE, 1, FIRST_DATA, PTE_V | PTE_R | PTE_W)
  await writePte(ROOT + 2 * PAGE_SIZE, 2, FIRST_DATA + 2 * PAGE_SIZE, PTE_V | PTE_R)
  await writePte(ROOT + 2 * PAGE_SIZE, 3, FIRST_DATA + 3 * PAGE_SIZE, PTE_V | PTE_R | PTE_W)
  vcpu.setSatp((BigInt(SV39.field) << 60n) | BigInt(ROOT / PAGE_SIZE))
  await guestStore(vcpu, VIRTUAL, 1)
  await guestStore(vcpu, VIRTUAL + PAGE_SIZE, 2)
  await guestLoad(vcpu, VIRTUAL + 2 * PAGE_SIZE)

  print("the guest's table: guest virtual -> guest physical", new GuestTables(vm), ROOT)
  console.log(`the memslot: guest physical ${hex(GUEST)} is host virtual ${hex(ram.start)}`)
  const physical = new PhysicalPteSource(vm.memory)
  print("the host's table: host virtual -> host physical", physical, mm.pageTable.root * PAGE_SIZE)
  const shadow = (): void =>
    print('the shadow table: guest virtual -> host physical', physical, vcpu.root!.pfn * PAGE_SIZE)
  shadow()
  await mm.madvise(ram.start + 8 * PAGE_SIZE, PAGE_SIZE, 'dontneed')
  console.log('the host takes the page behind guest physical', hex(FIRST_DATA), 'away:')
  shadow()
  await vm.destroy()
  await mm.exit()
  kernel.assertBalanced()
})
