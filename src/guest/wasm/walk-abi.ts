/**
 * What the functions of the walk module (walk-module.ts) have in common.
 *
 * R1 Their first parameter is the hart's area.
 */
import type { Code } from './code.ts'
import { Mem } from './opcodes.ts'

/** Where things stand in the memory. */
export interface WalkPlaces {
  /** Bytes of all frames. */
  readonly bytes: number
  /** Offset of a byte a frame: not 0 for frames in which stores are watched. */
  readonly watched: number
}

/** Indexes of the module's functions. */
export interface WalkFunctions {
  /** (page number as f64, access) -> whether there is a row now: the import. */
  readonly fill: number
  /** Of walk-entries.ts. */
  readonly lookup: number
  readonly insert: number
  /** Of walk-second-stage.ts. */
  readonly frameOf: number
  /** Of walk-descent.ts. */
  readonly descend: number
}

/** Beyond the bits of `Walk`: the table has an x4 format; its PTEs stand at guest physical addresses. */
export const X4 = 64
export const NESTED = 128

/** The parameter that is the hart's area. */
export const AREA = 0

/** Pushes a word of the area. */
export function pushWord(code: Code, offset: number): void {
  code.get(AREA)
  code.mem(Mem.i32Load, offset)
}
