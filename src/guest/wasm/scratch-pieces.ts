/**
 * Pieces of a memory's scratch area for the tables of an engine.
 *
 * R1 A caller gets all the pieces that it asks for, or none is taken.
 */
import { KernelError } from '../../base/index.ts'
import type { ScratchArea } from '../../hardware/index.ts'

/** The error of tables that do not fit. @param what the tables are, in the plural */
export function noRoom(scratch: ScratchArea, what: string, bytes: number): KernelError {
  return new KernelError(
    'ENOMEM',
    `no room for ${what}: they take ${bytes} of ${scratch.available} free scratch bytes, in one piece each; give the kernel more scratchBytes`,
  )
}

/**
 * The offsets of pieces, by name, taken in the order of `sizes`.
 * @param what the tables are, in the plural
 * @throws KernelError ENOMEM when the area has no room for one of them
 */
export function scratchPieces<Name extends string>(
  scratch: ScratchArea,
  what: string,
  sizes: Readonly<Record<Name, number>>,
): Readonly<Record<Name, number>> {
  const pieces: Partial<Record<Name, number>> = {}
  const taken: number[] = []
  for (const name in sizes) {
    const offset = scratch.allocate(sizes[name])
    if (offset < 0) {
      for (const piece of taken) scratch.release(piece)
      throw noRoom(scratch, what, sizes[name])
    }
    taken.push(offset)
    pieces[name] = offset
  }
  return pieces as Record<Name, number>
}
