/**
 * The three TLBs of a vCPU or a host thread, flushed as one.
 *
 * R1 An entry's kind is its permission: a page that may not be written has no entry in `write`.
 */
import type { Pfn } from '../base/index.ts'
import { Access } from './exceptions.ts'
import { ANY, TLB_DEFAULT_ENTRIES, TLB_WORDS_PER_ENTRY, Tlb } from './tlb.ts'
import type { TlbOptions } from './tlb.ts'

export class TlbSet {
  readonly read: Tlb
  readonly write: Tlb
  readonly execute: Tlb

  /** @param options of each of the three; in a `buffer` they stand one behind the other from `offset` */
  constructor(options: TlbOptions = {}) {
    const { offset = 0, entries = TLB_DEFAULT_ENTRIES } = options
    const bytes = entries * TLB_WORDS_PER_ENTRY * 4
    this.read = new Tlb({ ...options, offset })
    this.write = new Tlb({ ...options, offset: options.buffer === undefined ? 0 : offset + bytes })
    this.execute = new Tlb({ ...options, offset: options.buffer === undefined ? 0 : offset + 2 * bytes })
  }

  forAccess(access: Access): Tlb {
    return access === Access.read ? this.read : access === Access.write ? this.write : this.execute
  }

  /** Valid entries in all three. */
  validEntries(): number {
    return this.read.valid + this.write.valid + this.execute.valid
  }

  // Flushes as those of Tlb; each returns the number of entries removed from the three together.

  flushAll(): number {
    return this.read.flushAll() + this.write.flushAll() + this.execute.flushAll()
  }
  flushPage(page: number, asid: number = ANY, vmid: number = ANY): number {
    return (
      this.read.flushPage(page, asid, vmid) +
      this.write.flushPage(page, asid, vmid) +
      this.execute.flushPage(page, asid, vmid)
    )
  }
  flushPages(first: number, count: number, asid: number = ANY, vmid: number = ANY): number {
    return (
      this.read.flushPages(first, count, asid, vmid) +
      this.write.flushPages(first, count, asid, vmid) +
      this.execute.flushPages(first, count, asid, vmid)
    )
  }
  flushAsid(asid: number, vmid: number = ANY): number {
    return this.read.flushAsid(asid, vmid) + this.write.flushAsid(asid, vmid) + this.execute.flushAsid(asid, vmid)
  }
  flushVmid(vmid: number): number {
    return this.read.flushVmid(vmid) + this.write.flushVmid(vmid) + this.execute.flushVmid(vmid)
  }
  flushExtra(first: number, count: number, vmid: number = ANY): number {
    return (
      this.read.flushExtra(first, count, vmid) +
      this.write.flushExtra(first, count, vmid) +
      this.execute.flushExtra(first, count, vmid)
    )
  }
  flushPfn(first: Pfn, count = 1): number {
    return this.read.flushPfn(first, count) + this.write.flushPfn(first, count) + this.execute.flushPfn(first, count)
  }
}
