/**
 * Physical memory: one `WebAssembly.Memory` cut into 4 KiB frames, and the only class that writes them.
 *
 * An execution engine may read the raw buffer and, while `recording` is false, store to it as well; everybody else, and the
 * engine while it is true, stores through the methods below, so that the explorer can undo and hash what was stored.
 *
 * R1 Every store to a frame goes through `write8` .. `compareAndSwapPte`; with nothing recording it costs one extra test.
 * R2 All values are little endian; any alignment and any crossing of frames is legal, as for a hart's own bytes.
 * R3 An access outside the frames is a bug of Umbra's, never of a guest: who translates checks first (`contains`).
 * R4 Nothing here allocates, except `readBytes`, `read64` (its BigInt) and the growth of the journal.
 * R5 Frames that are watched are reported before they are stored to, whoever stores.
 */
import { GiB, KernelBug, KernelError, PAGE_SIZE, Wasm, hex } from '../base/index.ts'
import type { Hpa, Pfn, WasmMemory } from '../base/index.ts'
import { ScratchArea } from './scratch.ts'
import { StoreRecorder } from './store-recorder.ts'
import { StoreWatch } from './store-watch.ts'
import type { DigestHalf } from './store-recorder.ts'

/** Bytes of a WebAssembly page, the unit a memory is made in. */
const WASM_PAGE_SIZE = 65536
const WORDS_PER_FRAME: number = PAGE_SIZE / 4
/** A linear memory ends at 4 GiB. */
const MAX_BYTES: number = 4 * GiB

/** A place in the undo log, given by `snapshotMark`. */
export type SnapshotMark = number

export interface PhysicalMemoryOptions {
  /** Bytes behind the last frame for an engine's own tables (TLBs, register files), reachable by its code but no frame. Default 0. */
  readonly scratchBytes?: number
}

export class PhysicalMemory {
  static readonly opaque = true
  /** Number of frames; frame numbers run from 0 to `frames - 1`. Immutable. */
  readonly frames: number
  /** Bytes in all frames. Immutable. */
  readonly byteLength: number
  /** The memory itself, for an engine's imports. Immutable. */
  readonly memory: WasmMemory
  /** All frames as bytes, for reading. Stores go through the methods (R1). */
  readonly bytes: Readonly<Uint8Array>
  /** All frames as aligned 32-bit words, for reading. Stores go through the methods (R1). */
  readonly words: Readonly<Uint32Array>
  /** Byte offset in `memory` of the engine's own area, and its length. Immutable. */
  readonly scratchOffset: number
  readonly scratchBytes: number
  /** Byte offset in `memory` of a byte a frame, which is 1 while stores to the frame are watched. Immutable. */
  readonly watchOffset: number
  /** Who has which part of the engine's area. */
  readonly scratch: ScratchArea
  /** True while stores are journaled or digested: an engine must then store through the methods too. */
  recording = false
  /** Who wants to know of stores to some frames; generated code asks before it stores without telling. */
  readonly watch: StoreWatch
  private readonly view: DataView
  private readonly u8: Uint8Array
  private readonly i32: Int32Array
  private readonly recorder: StoreRecorder

  /**
   * @param frames number of 4 KiB frames, all zero at first
   * @throws KernelError EINVAL for a size that no memory can have, ENOMEM when the JavaScript engine cannot reserve it
   */
  constructor(frames: number, options: PhysicalMemoryOptions = {}) {
    const scratchBytes = options.scratchBytes ?? 0
    if (!Number.isInteger(frames) || frames < 1 || frames * PAGE_SIZE > MAX_BYTES) {
      throw new KernelError('EINVAL', `physical memory of ${frames} frames: expected 1 to ${MAX_BYTES / PAGE_SIZE}`)
    }
    if (!Number.isInteger(scratchBytes) || scratchBytes < 0 || frames * (PAGE_SIZE + 1) + scratchBytes > MAX_BYTES) {
      throw new KernelError('EINVAL', `scratch area of ${scratchBytes} bytes: frames and scratch must fit in 4 GiB`)
    }
    this.frames = frames
    this.byteLength = frames * PAGE_SIZE
    this.scratchOffset = this.byteLength
    this.scratchBytes = scratchBytes
    this.watchOffset = this.byteLength + scratchBytes
    this.memory = reserve(this.watchOffset + frames)
    const { buffer } = this.memory
    this.u8 = new Uint8Array(buffer, 0, this.byteLength)
    this.i32 = new Int32Array(buffer, 0, this.byteLength / 4)
    this.view = new DataView(buffer, 0, this.byteLength)
    this.scratch = new ScratchArea(new Uint8Array(buffer), this.scratchOffset, scratchBytes)
    this.bytes = this.u8
    this.words = new Uint32Array(buffer, 0, this.byteLength / 4)
    this.recorder = new StoreRecorder(this.i32, frames)
    this.watch = new StoreWatch(new Uint8Array(buffer, this.watchOffset, frames))
  }

  /** Whether `size` bytes at `hpa` lie inside the frames. */
  contains(hpa: number, size = 1): boolean {
    return hpa >= 0 && hpa + size <= this.byteLength
  }

  /** Whether frame `pfn` exists. */
  hasFrame(pfn: number): boolean {
    return pfn >= 0 && pfn < this.frames
  }

  // Loads.

  read8(hpa: Hpa): number {
    this.check(hpa, 1)
    return this.view.getUint8(hpa)
  }

  read16(hpa: Hpa): number {
    this.check(hpa, 2)
    return this.view.getUint16(hpa, true)
  }

  /** Unsigned. */
  read32(hpa: Hpa): number {
    this.check(hpa, 4)
    return this.view.getUint32(hpa, true)
  }

  /** Unsigned. */
  read64(hpa: Hpa): bigint {
    this.check(hpa, 8)
    return this.view.getBigUint64(hpa, true)
  }

  /** Bits 31..0 of the 64-bit value at `hpa`, unsigned. */
  readLow(hpa: Hpa): number {
    this.check(hpa, 8)
    return this.view.getUint32(hpa, true)
  }

  /** Bits 63..32 of the 64-bit value at `hpa`, unsigned. */
  readHigh(hpa: Hpa): number {
    this.check(hpa, 8)
    return this.view.getUint32(hpa + 4, true)
  }

  /** A copy of `length` bytes, which later stores leave alone. */
  readBytes(hpa: Hpa, length: number): Uint8Array {
    this.check(hpa, length)
    return this.u8.slice(hpa, hpa + length)
  }

  // Stores.

  /** Stores the low 8 bits of `value`. */
  write8(hpa: Hpa, value: number): void {
    this.check(hpa, 1)
    if (this.watch.live !== 0) this.watch.storing(hpa, 1)
    if (this.recording) this.recorder.begin(hpa, 1)
    this.view.setUint8(hpa, value)
    if (this.recording) this.recorder.end()
  }

  /** Stores the low 16 bits of `value`. */
  write16(hpa: Hpa, value: number): void {
    this.check(hpa, 2)
    if (this.watch.live !== 0) this.watch.storing(hpa, 2)
    if (this.recording) this.recorder.begin(hpa, 2)
    this.view.setUint16(hpa, value, true)
    if (this.recording) this.recorder.end()
  }

  /** Stores the low 32 bits of `value`. */
  write32(hpa: Hpa, value: number): void {
    this.check(hpa, 4)
    if (this.watch.live !== 0) this.watch.storing(hpa, 4)
    if (this.recording) this.recorder.begin(hpa, 4)
    this.view.setUint32(hpa, value, true)
    if (this.recording) this.recorder.end()
  }

  /** Stores the low 64 bits of `value`. */
  write64(hpa: Hpa, value: bigint): void {
    this.check(hpa, 8)
    if (this.watch.live !== 0) this.watch.storing(hpa, 8)
    if (this.recording) this.recorder.begin(hpa, 8)
    this.view.setBigUint64(hpa, value, true)
    if (this.recording) this.recorder.end()
  }

  /** Stores a 64-bit value, such as a PTE, from its halves in one step. */
  writePte(hpa: Hpa, low: number, high: number): void {
    this.check(hpa, 8)
    if (this.watch.live !== 0) this.watch.storing(hpa, 8)
    if (this.recording) this.recorder.begin(hpa, 8)
    this.view.setUint32(hpa, low, true)
    this.view.setUint32(hpa + 4, high, true)
    if (this.recording) this.recorder.end()
  }

  /** Stores all of `source`. */
  writeBytes(hpa: Hpa, source: Uint8Array): void {
    this.check(hpa, source.length)
    if (this.watch.live !== 0) this.watch.storing(hpa, source.length)
    if (!this.recording) {
      this.u8.set(source, hpa)
      return
    }
    for (let at = 0; at < source.length; at += PAGE_SIZE) {
      const size = Math.min(PAGE_SIZE, source.length - at)
      this.recorder.begin(hpa + at, size)
      for (let i = 0; i < size; i++) this.u8[hpa + at + i] = source[at + i] as number
      this.recorder.end()
    }
  }

  /** Copies a frame, in the order of `copy_highpage`: destination first. */
  copyFrame(to: Pfn, from: Pfn): void {
    this.checkFrame(to)
    this.checkFrame(from)
    if (this.watch.live !== 0) this.watch.storing(to * PAGE_SIZE, PAGE_SIZE)
    if (this.recording) this.recorder.begin(to * PAGE_SIZE, PAGE_SIZE)
    this.u8.copyWithin(to * PAGE_SIZE, from * PAGE_SIZE, from * PAGE_SIZE + PAGE_SIZE)
    if (this.recording) this.recorder.end()
  }

  /** Fills a frame with zero (`clear_highpage`). */
  zeroFrame(pfn: Pfn): void {
    this.checkFrame(pfn)
    if (this.watch.live !== 0) this.watch.storing(pfn * PAGE_SIZE, PAGE_SIZE)
    if (this.recording) this.recorder.begin(pfn * PAGE_SIZE, PAGE_SIZE)
    this.u8.fill(0, pfn * PAGE_SIZE, pfn * PAGE_SIZE + PAGE_SIZE)
    if (this.recording) this.recorder.end()
  }

  /** Stores `desired` at `hpa` if the 32 bits there are `expected`. @returns whether it stored */
  compareAndSwapLow(hpa: Hpa, expected: number, desired: number): boolean {
    if (this.read32(hpa) !== expected >>> 0) return false
    this.write32(hpa, desired)
    return true
  }

  /** Stores a whole PTE if the one at `hpa` is the expected one. @returns whether it stored */
  compareAndSwapPte(hpa: Hpa, low: number, high: number, newLow: number, newHigh: number): boolean {
    if (this.readLow(hpa) !== low >>> 0 || this.readHigh(hpa) !== high >>> 0) return false
    this.writePte(hpa, newLow, newHigh)
    return true
  }

  // Whole frames.

  /** As new: all frames and the engine's area zero, nothing recorded. */
  clear(): void {
    this.snapshotStop()
    new Uint8Array(this.memory.buffer, 0, this.watchOffset).fill(0)
  }

  /** Whether two frames hold the same bytes. */
  framesEqual(a: Pfn, b: Pfn): boolean {
    this.checkFrame(a)
    this.checkFrame(b)
    const { i32 } = this
    const firstA = (a * WORDS_PER_FRAME) | 0
    const firstB = (b * WORDS_PER_FRAME) | 0
    for (let i = 0; i < WORDS_PER_FRAME; i++) if (i32[firstA + i] !== i32[firstB + i]) return false
    return true
  }

  /** 32-bit hash of a frame's contents, as KSM's `calc_checksum`: equal frames hash alike. */
  hashFrame(pfn: Pfn): number {
    this.checkFrame(pfn)
    const { i32 } = this
    const first = (pfn * WORDS_PER_FRAME) | 0
    let hash = 0x1747b28c
    for (let i = 0; i < WORDS_PER_FRAME; i++) {
      hash = Math.imul(hash ^ (i32[first + i] as number), 0x85ebca6b)
      hash = (hash << 13) | (hash >>> 19)
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0xc2b2ae35)
    return (hash ^ (hash >>> 13)) >>> 0
  }

  // The explorer's view.

  /** Starts recording if nothing does yet, and returns the place that `snapshotUndo` comes back to. */
  snapshotMark(): SnapshotMark {
    const mark = this.recorder.mark()
    this.recording = true
    return mark
  }

  /** Takes every store since `mark` back. The mark stays valid, marks made after it do not. @throws KernelError EINVAL for such a one */
  snapshotUndo(mark: SnapshotMark): void {
    if (this.watch.live !== 0) this.watch.storing(0, this.byteLength)
    this.recorder.undo(mark)
  }

  /** Half of a 64-bit hash of all frames, unsigned. The first call reads all of memory; from then on each store keeps it current. */
  snapshotHash(half: DigestHalf): number {
    const value = this.recorder.hash(half)
    this.recording = true
    return value
  }

  /** Half of the digest of one frame, unsigned: equal for equal contents. For a hash that leaves free frames out. */
  frameDigest(pfn: Pfn, half: DigestHalf): number {
    this.checkFrame(pfn)
    const value = this.recorder.frameHash(pfn, half)
    this.recording = true
    return value
  }

  /** Forgets marks and digests; stores are cheap again. */
  snapshotStop(): void {
    this.recorder.stop()
    this.recording = false
  }

  private check(hpa: number, size: number): void {
    if (!(hpa >= 0 && hpa <= this.byteLength - size)) this.outside(hpa, size)
  }

  private checkFrame(pfn: number): void {
    if (!(pfn >= 0 && pfn < this.frames)) throw new KernelBug(`frame ${pfn} of ${this.frames}`)
  }

  private outside(hpa: number, size: number): never {
    throw new KernelBug(
      `${size} bytes at ${hex(hpa)} are outside physical memory, which ends at ${hex(this.byteLength)}`,
    )
  }
}

function reserve(bytes: number): WasmMemory {
  const pages = Math.ceil(bytes / WASM_PAGE_SIZE)
  try {
    return new Wasm.Memory({ initial: pages, maximum: pages })
  } catch (error) {
    throw new KernelError('ENOMEM', `cannot reserve ${bytes} bytes of physical memory: ask for fewer frames`, {
      cause: error,
    })
  }
}
