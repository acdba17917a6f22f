/** Kernel samepage merging (Linux v6.12 mm/ksm.c). */
import type { Pfn } from '../base/index.ts'
import type { Kernel } from './kernel.ts'
import type { Mm } from './mm.ts'

export class Ksm {
  readonly kernel: Kernel

  constructor(kernel: Kernel) {
    this.kernel = kernel
  }

  /** The shared pages; the stable table holds no reference to them. */
  stablePages(): Pfn[] {
    return []
  }
}

export async function ksmExit(_mm: Mm): Promise<void> {}
