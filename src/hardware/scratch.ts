/**
 * The area behind the frames of a memory, handed out in pieces to the engines that keep their tables there.
 *
 * R1 A piece is all zero when it is given out, and 64 bytes aligned.
 * R2 Nothing here is state of the machine: what engines keep can be thrown away at any time.
 */
import { KernelBug } from '../base/index.ts'

const ALIGNMENT = 64

interface Piece {
  readonly start: number
  readonly length: number
}

export class ScratchArea {
  static readonly opaque = true
  /** What the users of this memory have in common, by name; as long-lived as the memory. */
  readonly shared: Map<string, object> = new Map()
  /** Free ranges in order, none touching the next. */
  private readonly free: Piece[] = []
  private readonly used = new Map<number, number>()
  private readonly bytes: Uint8Array
  /** Everything from here on was never given out, and is still zero. */
  private touched: number

  /** @param bytes the whole memory; @param start of the area, `length` bytes long */
  constructor(bytes: Uint8Array, start: number, length: number) {
    this.bytes = bytes
    this.touched = start
    if (length > 0) this.free.push({ start, length })
  }

  /** Bytes that are free, in all ranges together. */
  get available(): number {
    return this.free.reduce((sum, piece) => sum + piece.length, 0)
  }

  /** @returns the offset of a piece in the memory, or -1 if there is no room */
  allocate(size: number): number {
    const length = Math.ceil(size / ALIGNMENT) * ALIGNMENT
    const index = this.free.findIndex((piece) => piece.length >= length)
    const piece = this.free[index]
    if (piece === undefined) return -1
    const { start } = piece
    if (piece.length === length) this.free.splice(index, 1)
    else this.free[index] = { start: start + length, length: piece.length - length }
    this.used.set(start, length)
    this.bytes.fill(0, start, Math.min(start + length, this.touched))
    this.touched = Math.max(this.touched, start + length)
    return start
  }

  /** Gives a piece back. @throws KernelBug for an offset that was not given out */
  release(start: number): void {
    const length = this.used.get(start)
    if (length === undefined) throw new KernelBug(`no piece of the scratch area begins at ${start}`)
    this.used.delete(start)
    const next = this.free.findIndex((piece) => piece.start > start)
    const at = next < 0 ? this.free.length : next
    this.free.splice(at, 0, { start, length })
    this.join(at)
    if (at > 0) this.join(at - 1)
  }

  /** Makes one range of a range and the one that follows it, if they touch. */
  private join(at: number): void {
    const [first, second] = [this.free[at], this.free[at + 1]]
    if (first === undefined || second === undefined || first.start + first.length !== second.start) return
    this.free.splice(at, 2, { start: first.start, length: first.length + second.length })
  }
}
