/** The arena as a hart's memory, with a plain walker: what QEMU's MMU and PMP do to a case, without any caching. */
import type { Gvn, Hpa } from '../../../../src/base/index.ts'
import { Context, type GuestBytes, type HartMemory, Miss, type MissKind } from '../../../../src/guest/index.ts'
import { FlatBytes } from '../flat-memory.ts'
import { ARENA, ARENA_BYTES, Page } from './arena.ts'

type Access = 'fetch' | 'read' | 'write'
const PAGE_FAULT: Readonly<Record<Access, number>> = { fetch: 12, read: 13, write: 15 }
const ACCESS_FAULT: Readonly<Record<Access, number>> = { fetch: 1, read: 5, write: 7 }

/** Where the arena lies. */
interface ArenaBytes extends GuestBytes {
  readonly words: Readonly<Uint32Array>
  writeBytes(at: Hpa, source: Uint8Array): void
}

export class PagedMemory implements HartMemory {
  readonly bytes: ArenaBytes
  /** Host physical address of the arena's first byte. */
  readonly base: number
  readonly missKind: MissKind = Miss.GUEST_FAULT
  missCause = 0
  protected context = 0
  protected satp = 0n

  constructor(bytes: ArenaBytes = new FlatBytes(ARENA_BYTES), base = 0) {
    this.bytes = bytes
    this.base = base
  }

  setContext(context: number): void {
    this.context = context
  }
  setSatp(satp: bigint): void {
    this.satp = satp
  }
  sfenceVma(): void {}
  translateFetch(page: Gvn): number {
    return this.translate(page, 'fetch')
  }
  translateRead(page: Gvn): number {
    return this.translate(page, 'read')
  }
  translateWrite(page: Gvn): number {
    return this.translate(page, 'write')
  }

  private translate(page: number, access: Access): number {
    const mode = Number(this.satp >> 60n)
    if (mode === 0) return this.physical(page, access)
    const levels = mode - 5
    const top = 2 ** (9 * levels - 1)
    const canonical = page < top || page >= 2 ** 52 - top
    if (!canonical) return this.fail(PAGE_FAULT[access])
    let table = Number(this.satp & ((1n << 44n) - 1n))
    for (let level = levels - 1; level >= 0; level--) {
      const base = this.physical(table, 'read')
      if (base < 0) return this.fail(ACCESS_FAULT[access])
      const index = Math.floor(page / 2 ** (9 * level)) % 512
      const entry = BigInt.asUintN(64, this.bytes.read64((base + index * 8) as never))
      const flags = Number(entry & 0xffn)
      if ((flags & 1) === 0 || entry >> 54n !== 0n) return this.fail(PAGE_FAULT[access])
      const frame = Number((entry >> 10n) & ((1n << 44n) - 1n))
      if ((flags & 0xe) === 0) {
        if ((flags & 0xd0) !== 0) return this.fail(PAGE_FAULT[access])
        table = frame
        continue
      }
      const low = page % 2 ** (9 * level)
      if (!this.permitted(flags, access) || frame % 2 ** (9 * level) !== 0) return this.fail(PAGE_FAULT[access])
      return this.physical(frame + low, access)
    }
    return this.fail(PAGE_FAULT[access])
  }

  private permitted(flags: number, access: Access): boolean {
    const supervisor = (this.context & Context.SUPERVISOR) !== 0
    const user = (flags & 16) !== 0
    if ((flags & 6) === 4) return false
    if (supervisor && user && (access === 'fetch' || (this.context & Context.SUM) === 0)) return false
    if (!supervisor && !user) return false
    if (access === 'fetch') return (flags & 8) !== 0
    if (access === 'write') return (flags & 4) !== 0
    return (flags & 2) !== 0 || ((flags & 8) !== 0 && (this.context & Context.MXR) !== 0)
  }

  /** The arena, as PMP lets it be seen. */
  private physical(frame: number, access: Access): number {
    const page = frame - ARENA / 4096
    const [code, data] = [page < Page.DATA_U, page >= Page.DATA_U && page < Page.TABLES]
    const allowed = page >= 0 && page < Page.END && (access === 'read' || (access === 'fetch' ? code : data))
    return allowed ? this.base + page * 4096 : this.fail(ACCESS_FAULT[access])
  }

  private fail(cause: number): number {
    this.missCause = cause
    return -1
  }
}
