/**
 * Histograms as text, in bpftrace's shape: power-of-two buckets and a bar.
 *
 * ```
 * [1, 2)        5 |@@@@@@@@@@                                          |
 * ```
 * R1 Bucket 0 is [0, 1); bucket n is [2^(n-1), 2^n).
 */

const BAR = 52
const SUFFIXES = ['', 'K', 'M', 'G', 'T'] as const

function bound(bucket: number): string {
  if (bucket === 0) return '0'
  const power = bucket - 1
  return `${2 ** (power % 10)}${SUFFIXES[Math.floor(power / 10)] ?? `e${power}`}`
}

/** Lines of a histogram from its first to its last used bucket; none when it is empty. */
export function histogramLines(buckets: readonly number[]): string[] {
  const first = buckets.findIndex((count) => count > 0)
  if (first < 0) return []
  const last = buckets.findLastIndex((count) => count > 0)
  const most = Math.max(...buckets)
  return buckets.slice(first, last + 1).map((count, i) => {
    const range = `[${bound(first + i)}, ${bound(first + i + 1)})`
    const bar = '@'.repeat(Math.floor((count * BAR) / most))
    return `${range.padEnd(16)} ${String(count).padStart(8)} |${bar.padEnd(BAR)}|`
  })
}
