/**
 * Bytes that grow at their end: the encodings of the WebAssembly binary format (core specification 2.0, sections 5.2, 5.3).
 *
 * R1 Writing allocates only when the buffer has to double; a writer that is cleared keeps its buffer.
 */

export class ByteWriter {
  /** Valid up to `length`. Replaced when it grows. */
  bytes: Uint8Array
  length = 0
  /** Scratch for the bytes of a float. */
  private readonly float = new DataView(new ArrayBuffer(8))

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity)
  }

  clear(): void {
    this.length = 0
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.grow(1)
    this.bytes[this.length++] = value
  }

  /** Unsigned LEB128 of up to 32 bits. */
  unsigned(value: number): void {
    let rest = value >>> 0
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    this.byte(rest)
  }

  /** Signed LEB128 of an integer of any size that a number holds exactly. */
  signed(value: number): void {
    let rest = value
    while (rest < -64 || rest > 63) {
      this.byte((rest & 0x7f) | 0x80)
      rest = rest >= -0x8000_0000 && rest <= 0x7fff_ffff ? rest >> 7 : Math.floor(rest / 128)
    }
    this.byte(rest & 0x7f)
  }

  /** Signed LEB128 of 64 bits; the value counts modulo 2^64. */
  signedBig(value: bigint): void {
    let rest = BigInt.asIntN(64, value)
    while (rest < -64n || rest > 63n) {
      this.byte(Number(rest & 0x7fn) | 0x80)
      rest >>= 7n
    }
    this.byte(Number(rest & 0x7fn))
  }

  float32(value: number): void {
    this.float.setFloat32(0, value, true)
    for (let i = 0; i < 4; i++) this.byte(this.float.getUint8(i))
  }

  float64(value: number): void {
    this.float.setFloat64(0, value, true)
    for (let i = 0; i < 8; i++) this.byte(this.float.getUint8(i))
  }

  /** A name of ASCII characters, with its length before it. */
  name(text: string): void {
    this.unsigned(text.length)
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i))
  }

  /** Everything another writer holds. */
  append(other: ByteWriter): void {
    if (this.length + other.length > this.bytes.length) this.grow(other.length)
    this.bytes.set(other.bytes.subarray(0, other.length), this.length)
    this.length += other.length
  }

  /** The same, with its length before it. */
  appendSized(other: ByteWriter): void {
    this.unsigned(other.length)
    this.append(other)
  }

  /** A copy of what was written. */
  toBytes(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }

  private grow(extra: number): void {
    const bytes = new Uint8Array(Math.max(this.bytes.length * 2, this.length + extra))
    bytes.set(this.bytes.subarray(0, this.length))
    this.bytes = bytes
  }
}
