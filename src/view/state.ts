/**
 * The state of a world at one step, in the forms that kernel people know: page tables as QEMU prints them, sptes, TLBs,
 * frames as drgn scripts print them, SRCU domains.
 *
 * R1 Nothing here changes anything: it may run between any two events of a run.
 */
import { PAGE_SIZE, hex } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'
import { PhysicalPteSource, SV39 } from '../hardware/index.ts'
import { pageFlagNames } from '../host/index.ts'
import type { Kernel } from '../host/index.ts'
import { forEachSpte, forEachTlbEntry, windowOf } from '../mmu/index.ts'
import type { Vm } from '../mmu/index.ts'
import { pageLines } from './page.ts'
import { infoMemLines, pageTableLeaves } from './page-table.ts'
import { tableLines } from './table.ts'

const vmsOf = (kernel: Kernel): readonly Vm[] => [...kernel.vms] as Vm[]

/** The page table of each mm, and the sptes and the window of each VM. */
export function tablesStateLines(kernel: Kernel): string[] {
  const lines: string[] = []
  const source = new PhysicalPteSource(kernel.memory)
  for (const mm of kernel.mms) {
    lines.push(`mm ${mm.id} (${mm.name}): root frame ${hex(mm.pageTable.root)}`)
    lines.push(...infoMemLines(pageTableLeaves(source, mm.pageTable.root * PAGE_SIZE, SV39)))
  }
  for (const vm of vmsOf(kernel)) {
    const { active, inProgress, seq, rangeStart, rangeEnd } = windowOf(vm)
    const range = inProgress === 0 ? '' : `, gfn ${hex(rangeStart)}-${hex(rangeEnd)} may not be mapped`
    lines.push(`vm ${vm.id}: invalidate_seq ${seq}, windows open ${active} (${inProgress} that hit a slot)${range}`)
    const rows: (string | number)[][] = []
    forEachSpte(vm, ({ gfn, pfn, level, writable, young, dirty, hva, sptep, stale }) => {
      const attributes = `${writable ? 'w' : '-'}${young ? 'a' : '-'}${dirty ? 'd' : '-'}`
      rows.push([hex(gfn), hex(pfn), level + 1, `${attributes}${stale ? ' stale' : ''}`, hex(hva), hex(sptep)])
    })
    lines.push(...tableLines(['  gfn', 'pfn', 'level', 'attr', 'hva', 'sptep'], indented(rows)))
  }
  return lines
}

/** What each vCPU's TLBs hold. */
export function tlbStateLines(kernel: Kernel): string[] {
  return vmsOf(kernel).flatMap((vm) => {
    const rows: (string | number)[][] = []
    forEachTlbEntry(vm, ({ vcpu, access, page, gfn, pfn, usable }) => {
      rows.push([`vcpu${vcpu}`, access, hex(page), hex(gfn), hex(pfn), usable ? 'usable' : 'dropped at entry'])
    })
    const modes = vm.vcpus.map(({ id, mode }) => `vcpu${id} mode ${mode}`).join(', ')
    return [`vm ${vm.id}: ${modes}`, ...tableLines(['  vcpu', 'access', 'page', 'gfn', 'pfn', ''], indented(rows))]
  })
}

/** The SRCU of the callouts. */
export function srcuStateLines(kernel: Kernel): string[] {
  const { name, kind, stats } = kernel.srcu
  const readers = kernel.srcu.activeReaders().map((task) => task.name)
  return [
    `srcu ${name} (${kind}): ${readers.length === 0 ? 'no reader' : `readers ${readers.join(', ')}`}`,
    `  sections ${stats.sections}, grace periods ${stats.gracePeriods}, synchronize ${stats.synchronizes}, callbacks ${stats.callbacks}`,
  ]
}

/** Every frame that holds memory of a process or a file. */
export function pagesStateLines(kernel: Kernel): string[] {
  const { pages } = kernel
  const lines: string[] = []
  for (let pfn = 0 as Pfn; pfn < pages.frames; pfn = (pfn + 1) as Pfn) {
    const kind = pages.kindOf(pfn)
    if (kind !== 'anon' && kind !== 'file') continue
    if (lines.length > 0) lines.push('')
    const flags = pageFlagNames(pages.flags[pfn]!)
    const index = pages.index[pfn]!
    lines.push(...pageLines({ pfn, flags, kind, refcount: pages.refs(pfn), mapcount: pages.maps(pfn), index }))
  }
  return lines.length === 0 ? ['no frame holds memory of a process or a file'] : lines
}

/** What each task does, and which locks it holds. */
export function tasksStateLines(kernel: Kernel): string[] {
  return kernel.sched.livingTasks().map((task) => {
    const waits = task.waitsFor === null ? '' : `, waits for ${task.waitsFor.describe()}`
    const holds = task.held.length === 0 ? '' : `, holds ${task.held.map((lock) => lock.name).join(', ')}`
    const runs = task === kernel.sched.current ? 'running' : task.state
    return `task ${task.name}: ${runs} at "${task.where}"${waits}${holds}`
  })
}

const indented = (rows: readonly (readonly (string | number)[])[]): (string | number)[][] =>
  rows.map(([first, ...rest]) => [`  ${first}`, ...rest])
