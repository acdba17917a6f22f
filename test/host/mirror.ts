/**
 * A small client of the notifier list for tests: a mirror of some pages, with KVM's retry protocol, whose every entry can
 * be compared with the host page table at any time.
 */
import type { Hva, Pfn } from '../../src/base/index.ts'
import { PAGE_SIZE } from '../../src/base/index.ts'
import { faultInPage } from '../../src/host/index.ts'
import type { Kernel, Mm } from '../../src/host/index.ts'
import type { MmuNotifierOps, MmuNotifierRange } from '../../src/notifier/index.ts'

interface Entry {
  readonly pfn: Pfn
  readonly writable: boolean
  young: boolean
  dirty: boolean
}

export class Mirror implements MmuNotifierOps {
  readonly name = 'mirror'
  readonly mm: Mm
  readonly kernel: Kernel
  readonly entries: Map<number, Entry> = new Map()
  sequence = 0
  inProgress = 0
  zapped = 0
  retries = 0
  changed = 0

  constructor(mm: Mm) {
    this.mm = mm
    this.kernel = mm.kernel
  }

  invalidateRangeStart(range: MmuNotifierRange): number {
    this.inProgress++
    for (const [hva, entry] of this.entries) {
      if (hva >= range.start && hva < range.end) this.drop(hva, entry)
    }
    return 0
  }

  invalidateRangeEnd(): void {
    this.sequence++
    this.inProgress--
  }

  clearFlushYoung(_mm: unknown, start: Hva, end: Hva): boolean {
    let young = false
    for (const [hva, entry] of this.entries) {
      if (hva < start || hva >= end) continue
      young ||= entry.young
      entry.young = false
    }
    return young
  }

  clearYoung(mm: unknown, start: Hva, end: Hva): boolean {
    return this.clearFlushYoung(mm, start, end)
  }

  testYoung(_mm: unknown, hva: Hva): boolean {
    return this.entries.get(hva)?.young === true
  }

  /** As KVM's: the entry turns to the new page, read-only until a write fault asks for more. */
  changePte(_mm: unknown, hva: Hva, pte: number): void {
    this.sequence++
    const entry = this.entries.get(hva)
    if (entry === undefined) return
    this.changed++
    this.drop(hva, entry)
    this.entries.set(hva, { pfn: (pte >>> 10) as Pfn, writable: false, young: true, dirty: false })
  }

  release(): void {
    for (const [hva, entry] of this.entries) this.drop(hva, entry)
  }

  private drop(hva: number, entry: Entry): void {
    if (entry.dirty) this.kernel.setPageDirty(entry.pfn)
    this.entries.delete(hva)
    this.zapped++
  }

  /** Maps the page, with the retry of every correct client. */
  async map(hva: number, write: boolean): Promise<void> {
    for (;;) {
      const sequence = this.sequence
      const { pfn, writable } = await faultInPage(this.mm, hva, { write })
      const stale = this.inProgress > 0 || this.sequence !== sequence
      if (!stale) {
        const old = this.entries.get(hva)
        if (old !== undefined) this.drop(hva, old)
        this.entries.set(hva, { pfn, writable, young: true, dirty: false })
      }
      this.kernel.putPage(pfn)
      if (!stale) return
      this.retries++
      await this.kernel.sched.yieldNow()
    }
  }

  async load(hva: number, offset = 0): Promise<number> {
    for (;;) {
      const entry = this.entries.get(hva)
      if (entry !== undefined) {
        entry.young = true
        const hpa = entry.pfn * PAGE_SIZE + offset
        const value = this.kernel.memory.read32(hpa as never)
        this.traceAccess('mem_load', hva + offset, value, hpa)
        return value
      }
      await this.map(hva, false)
    }
  }

  async store(hva: number, value: number, offset = 0): Promise<void> {
    for (;;) {
      const entry = this.entries.get(hva)
      if (entry?.writable === true) {
        entry.young = true
        entry.dirty = true
        const hpa = entry.pfn * PAGE_SIZE + offset
        this.kernel.memory.write32(hpa as never, value)
        this.traceAccess('mem_store', hva + offset, value, hpa)
        return
      }
      await this.map(hva, true)
    }
  }

  private traceAccess(name: 'mem_load' | 'mem_store', hva: number, value: number, hpa: number): void {
    const { trace } = this.kernel
    if (trace.accesses) trace.emit({ name, mm: this.mm.id, vcpu: 0, hva, size: 4, value: BigInt(value), hpa })
  }

  /** What disagrees with the host page table now: frame, or a right to write that the host does not give. */
  disagreements(): string[] {
    const lines: string[] = []
    if (this.inProgress > 0) return lines
    for (const [hva, entry] of this.entries) {
      const pte = this.mm.pageTable.read(hva)
      const present = (pte & 1) !== 0
      if (!present || pte >>> 10 !== entry.pfn) {
        lines.push(`spte of ${hva.toString(16)} names frame ${entry.pfn}, the PTE ${present ? pte >>> 10 : 'nothing'}`)
      } else if (entry.writable && (pte & 4) === 0) {
        lines.push(`spte of ${hva.toString(16)} is writable, the PTE is not`)
      }
    }
    return lines
  }
}
