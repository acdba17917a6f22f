/**
 * A hart's memory for the reference interpreter behind generated code: a translation that generated code has asked for
 * and not got is answered from memory when the reference asks for it.
 *
 * R1 So each translation that misses is tried once, as if the reference had executed the instruction from the start: trying
 *    has consequences (exceptions are delivered once, statistics count).
 */
import type { Gvn } from '../../base/index.ts'
import { Access } from '../../hardware/index.ts'
import type { GuestBytes, HartMemory, MissKind } from '../hart/index.ts'

const NONE = -1

export class KnownMiss implements HartMemory {
  static readonly opaque = true
  readonly bytes: GuestBytes
  private readonly memory: HartMemory
  private page: number = NONE
  private access: Access = Access.read

  constructor(memory: HartMemory) {
    this.memory = memory
    this.bytes = memory.bytes
  }

  get missKind(): MissKind {
    return this.memory.missKind
  }
  get missCause(): number {
    return this.memory.missCause
  }

  /** Translates for generated code. @returns as `HartMemory`; if -1, the next call for the same is answered so, too */
  ask(page: Gvn, access: Access): number {
    const { memory } = this
    const base =
      access === Access.read
        ? memory.translateRead(page)
        : access === Access.write
          ? memory.translateWrite(page)
          : memory.translateFetch(page)
    if (base < 0) {
      this.page = page
      this.access = access
    }
    return base
  }

  translateFetch(page: Gvn): number {
    return this.isKnown(page, Access.execute) ? -1 : this.memory.translateFetch(page)
  }
  translateRead(page: Gvn): number {
    return this.isKnown(page, Access.read) ? -1 : this.memory.translateRead(page)
  }
  translateWrite(page: Gvn): number {
    return this.isKnown(page, Access.write) ? -1 : this.memory.translateWrite(page)
  }

  setContext(context: number): void {
    this.memory.setContext(context)
  }
  setSatp(satp: bigint): void {
    this.memory.setSatp(satp)
  }
  sfenceVma(page: Gvn | -1, asid: number): void {
    this.memory.sfenceVma(page, asid)
  }

  private isKnown(page: number, access: Access): boolean {
    if (this.page === NONE) return false
    const known = this.page === page && this.access === access
    this.page = NONE
    return known
  }
}
