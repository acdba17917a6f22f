/**
 * What a walk depends on besides the tables, in numbers: for generated code that walks as `PageTableWalker` does.
 *
 * R1 A plan is good until a context, a root or a fence changes; whoever changes them makes another before code goes on.
 */

/** Filled in place by whoever owns the tables. */
export class WalkPlan {
  static readonly opaque = true
  /**
   * - 0: there is nothing that generated code could walk
   * - 1: one table leads from pages to host frames; what its entries are pieces of is asked for afterwards
   * - 2: one leads from pages to guest frames, at guest physical addresses, another from those to host frames
   */
  stages: 0 | 1 | 2 = 0
  /** Of the first table: levels, page number of the root, bits of `Walk`. */
  levels = 0
  root = 0
  flags = 0
  asid = 0
  /** Context words of the TLB's entries, by access. */
  readonly contexts: Int32Array = new Int32Array(3)
  /** Of the second table, which has the format of an x4 mode, and of the entries for frames. */
  frameLevels = 0
  frameRoot = 0
  frameContext = 0
}
