/** Flat physical memory and a hart memory without translation, for tests of what does not depend on paging. */
import type { Gvn, Hpa } from '../../../src/base/index.ts'
import { type GuestBytes, type HartMemory, Miss, type MissKind } from '../../../src/guest/index.ts'

/** Bytes at host physical addresses 0 up to a size, little-endian. */
export class FlatBytes implements GuestBytes {
  readonly u8: Uint8Array
  private readonly u16: Uint16Array
  readonly words: Uint32Array
  private readonly i64: BigInt64Array

  /** @param buffer where they stand, from its start */
  constructor(size: number, buffer: ArrayBuffer = new ArrayBuffer(size)) {
    this.u8 = new Uint8Array(buffer, 0, size)
    this.u16 = new Uint16Array(buffer, 0, size / 2)
    this.words = new Uint32Array(buffer, 0, size / 4)
    this.i64 = new BigInt64Array(buffer, 0, size / 8)
  }

  writeBytes(at: Hpa, source: Uint8Array): void {
    this.u8.set(source, at)
  }
  read8(at: Hpa): number {
    return this.u8[at] as number
  }
  read16(at: Hpa): number {
    return this.u16[at >>> 1] as number
  }
  read32(at: Hpa): number {
    return this.words[at >>> 2] as number
  }
  read64(at: Hpa): bigint {
    return this.i64[at >>> 3] as bigint
  }
  write8(at: Hpa, value: number): void {
    this.u8[at] = value
  }
  write16(at: Hpa, value: number): void {
    this.u16[at >>> 1] = value
  }
  write32(at: Hpa, value: number): void {
    this.words[at >>> 2] = value
  }
  write64(at: Hpa, value: bigint): void {
    this.i64[at >>> 3] = value
  }
}

/** Guest page `base >> 12` is frame 0; everything outside is an access fault, or an exit if so configured. */
export class FlatMemory implements HartMemory {
  readonly bytes: FlatBytes
  missKind: MissKind = Miss.GUEST_FAULT
  missCause = 0
  /** Pages outside that exit instead of faulting. */
  readonly exits: Set<number> = new Set()
  /** What the hart told. */
  context = 0
  satp = 0n
  readonly fences: (readonly [number, number])[] = []
  private readonly first: number
  private readonly pages: number

  constructor(base: number, size: number, bytes: FlatBytes = new FlatBytes(size)) {
    this.bytes = bytes
    this.first = Math.floor(base / 4096)
    this.pages = size / 4096
  }

  translateFetch(page: Gvn): number {
    return this.translate(page, 1)
  }
  translateRead(page: Gvn): number {
    return this.translate(page, 5)
  }
  translateWrite(page: Gvn): number {
    return this.translate(page, 7)
  }
  setContext(context: number): void {
    this.context = context
  }
  setSatp(satp: bigint): void {
    this.satp = satp
  }
  sfenceVma(page: Gvn | -1, asid: number): void {
    this.fences.push([page, asid])
  }

  private translate(page: number, cause: number): number {
    const frame = page - this.first
    if (frame >= 0 && frame < this.pages && !this.exits.has(page)) return frame * 4096
    this.missKind = this.exits.has(page) ? Miss.EXIT : Miss.GUEST_FAULT
    this.missCause = cause
    return -1
  }
}
