/**
 * change_pte: when a copy-on-write page is copied, the host could tell a client the new PTE, so that the guest need not
 * fault again. It worked as long as the call stood alone. Since v3.7 it stands inside a range start and end, whose start
 * has already dropped the spte, so that change_pte finds nothing to change. Linux removed the hook in v6.10.
 */
import { Kernel, PAGE_SIZE } from 'umbra'
import { GUEST, guestLoad, makeVm } from './guest-access.ts'

async function breakCow(changePte: 'bracketed' | 'unbracketed'): Promise<void> {
  const kernel = new Kernel({ frames: 256, changePte })
  await kernel.run(async () => {
    const mm = await kernel.createMm('parent')
    const ram = await mm.mmap({ length: PAGE_SIZE })
    const thread = mm.createThread()
    await thread.store32(ram.start, 0x1111)
    const { vm, vcpu } = await makeVm(mm, ram)
    const child = await mm.fork()
    await guestLoad(vcpu, GUEST)
    const faults = vm.stats.faults

    await thread.store32(ram.start, 0x2222)
    const seen = await guestLoad(vcpu, GUEST)

    console.log(`${changePte}: the parent's thread stores to a page that it shares with its child`)
    console.log(`  sptes that change_pte rewrote: ${vm.stats.changePteRewritten}`)
    console.log(`  calls that found nothing:      ${vm.stats.changePteIgnored}`)
    console.log(`  faults of the guest afterwards: ${vm.stats.faults - faults}, it reads 0x${seen.toString(16)}`)
    await child.exit()
    await vm.destroy()
    await mm.exit()
    kernel.assertBalanced()
  })
}

await breakCow('bracketed')
await breakCow('unbracketed')
