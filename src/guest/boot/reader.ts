/**
 * Bounds-checked little-endian reads of a file that may be damaged in any way.
 *
 * R1 A read outside the file is a KernelError ENOEXEC that names what was being read, never a RangeError.
 */
import { KernelError, hex } from '../../base/index.ts'

export class FileReader {
  readonly bytes: Uint8Array
  private readonly view: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  u16(offset: number, what: string): number {
    this.need(offset, 2, what)
    return this.view.getUint16(offset, true)
  }

  u32(offset: number, what: string): number {
    this.need(offset, 4, what)
    return this.view.getUint32(offset, true)
  }

  /** A 64-bit address or size. @throws KernelError ENOEXEC when it does not fit into 53 bits */
  u64(offset: number, what: string): number {
    this.need(offset, 8, what)
    const value = this.view.getBigUint64(offset, true)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new KernelError('ENOEXEC', `${what} is ${hex(value)}: beyond every address of a machine`)
    }
    return Number(value)
  }

  /** A view of the bytes, not a copy. */
  slice(offset: number, length: number, what: string): Uint8Array {
    this.need(offset, length, what)
    return this.bytes.subarray(offset, offset + length)
  }

  /** A string that a zero byte ends, at most up to `end`. */
  text(offset: number, end: number): string {
    let text = ''
    for (let at = offset; at < end && at < this.bytes.length && this.bytes[at] !== 0; at++) {
      text += String.fromCharCode(this.bytes[at]!)
    }
    return text
  }

  private need(offset: number, length: number, what: string): void {
    if (offset + length <= this.bytes.length) return
    throw new KernelError(
      'ENOEXEC',
      `${what} at ${hex(offset)}..${hex(offset + length)} lies outside the file of ${this.bytes.length} bytes: truncated?`,
    )
  }
}
