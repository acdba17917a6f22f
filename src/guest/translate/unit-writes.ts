/** Which registers a unit may have written. */
import type { Block } from './unit.ts'

/** Masks of the registers that may have been written when a block ends. @param own those that each block writes */
export function mayBeWritten(blocks: readonly Block[], own: readonly number[]): Int32Array {
  const masks = Int32Array.from(own)
  for (let changed = true; changed;) {
    changed = false
    for (const [index, { successors }] of blocks.entries()) {
      for (const next of successors) {
        const mask = (masks[next] as number) | (masks[index] as number)
        if (mask === masks[next]) continue
        masks[next] = mask
        changed = true
      }
    }
  }
  return masks
}
