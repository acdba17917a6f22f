/**
 * The states that a search has seen: two 32-bit hash words each, numbered in the order in which they were added.
 *
 * R1 Open addressing in typed arrays: 20 bytes a state at most half full, and no object for any of them.
 */
const EMPTY = -1

export class StateTable {
  /** States so far. */
  size = 0
  /** Number of the state that `add` found or added last. */
  last = 0
  private a: Int32Array = new Int32Array(1024)
  private b: Int32Array = new Int32Array(1024)
  private slots: Int32Array = new Int32Array(4096).fill(EMPTY)

  /** @returns true for a state that was not there */
  add(a: number, b: number): boolean {
    const { slots } = this
    const mask = slots.length - 1
    for (let slot = (a ^ (b << 7)) & mask; ; slot = (slot + 1) & mask) {
      const state = slots[slot] as number
      if (state === EMPTY) {
        slots[slot] = this.last = this.size
        this.append(a | 0, b | 0)
        return true
      }
      if (this.a[state] === (a | 0) && this.b[state] === (b | 0)) {
        this.last = state
        return false
      }
    }
  }

  /** Bytes in use. */
  get bytes(): number {
    return this.a.byteLength + this.b.byteLength + this.slots.byteLength
  }

  private append(a: number, b: number): void {
    if (this.size === this.a.length) {
      this.a = grown(this.a)
      this.b = grown(this.b)
    }
    this.a[this.size] = a
    this.b[this.size] = b
    this.size++
    if (this.size * 2 > this.slots.length) this.rehash()
  }

  private rehash(): void {
    const slots = new Int32Array(this.slots.length * 2).fill(EMPTY)
    const mask = slots.length - 1
    for (let state = 0; state < this.size; state++) {
      let slot = ((this.a[state] as number) ^ ((this.b[state] as number) << 7)) & mask
      while (slots[slot] !== EMPTY) slot = (slot + 1) & mask
      slots[slot] = state
    }
    this.slots = slots
  }
}

/** A copy with room for twice as many numbers. */
export function grown(numbers: Int32Array): Int32Array {
  const larger = new Int32Array(numbers.length * 2)
  larger.set(numbers)
  return larger
}
