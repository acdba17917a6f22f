/**
 * Counts values in power-of-two buckets.
 *
 * R1 Bucket 0 is [0, 1); bucket n is [2^(n-1), 2^n).
 */
export class Histogram {
  static readonly opaque = true
  readonly buckets: number[] = []
  count = 0
  sum = 0
  max = 0

  /** @param value at least 0 */
  add(value: number): void {
    const bucket = value < 1 ? 0 : Math.floor(Math.log2(value)) + 1
    while (this.buckets.length <= bucket) this.buckets.push(0)
    this.buckets[bucket] = this.buckets[bucket]! + 1
    this.count++
    this.sum += value
    this.max = Math.max(this.max, value)
  }
}
