/** The choices that make one VM differ from another, and the figures of what it takes up. */
import { KernelError } from '../base/index.ts'
import { SV39X4 } from '../hardware/index.ts'
import type { PagingMode } from '../hardware/index.ts'

export type Paging = 'two-dimensional' | 'shadow'

export interface VmOptions {
  /** Default two-dimensional. */
  readonly paging?: Paging
  /** Format of the table of guest frames, and the largest gpa: SV39X4 (default) or SV48X4. */
  readonly gpaMode?: PagingMode
  /** Who sets A and D of guest PTEs: the walker (Svadu, default), or a page fault's handler (Svade). */
  readonly adUpdate?: 'svadu' | 'svade'
  /**
   * Table pages at most; beyond it those not used for longest go. Default: no limit. Faults that share mmuLock make no
   * room: that takes the other side of the lock.
   */
  readonly shadowPageLimit?: number
  /**
   * `exclusive` (default): one holder, as on RISC-V. `shared`: as on x86 and arm64, faults that map guest frames directly
   * hold it together, and set entries by compare-and-exchange. Only where the mm's page-table lock sleeps.
   */
  readonly mmuLock?: 'exclusive' | 'shared'
  /** Guest stores to shadowed leaf tables: `trap` each, or let the table go out of `sync` until the next fence. */
  readonly guestTables?: 'trap' | 'unsync'
  /**
   * - `automatic` (default): getting the dirty log clears it and write-protects again
   * - `manual`: only clearing does (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
   * - `initially-set`: the same, and all bits are set at first
   */
  readonly dirtyLog?: 'automatic' | 'manual' | 'initially-set'
}

export interface ResolvedVmOptions {
  readonly paging: Paging
  readonly gpaMode: PagingMode
  readonly adUpdate: 'svadu' | 'svade'
  readonly shadowPageLimit: number
  readonly mmuLock: 'exclusive' | 'shared'
  readonly guestTables: 'trap' | 'unsync'
  readonly dirtyLog: 'automatic' | 'manual' | 'initially-set'
}

/** What a VM takes up now. */
export interface VmFigures {
  readonly vm: number
  /** Leaf sptes. */
  readonly sptes: number
  readonly tablePages: number
  /** Frames taken from the host: tables, and those that vCPUs hold ready. */
  readonly tableFrames: number
  /** Bytes of reverse maps, bitmaps and write tracking. */
  readonly slotBytes: number
  readonly rmapPoolBytes: number
  /** Bytes of the vCPUs' TLBs. */
  readonly tlbBytes: number
}

/** The options with their defaults. @throws KernelError EINVAL */
export function resolveVmOptions(options: VmOptions): ResolvedVmOptions {
  const gpaMode = options.gpaMode ?? SV39X4
  if (!gpaMode.guestPhysical) {
    throw new KernelError('EINVAL', `gpaMode ${gpaMode.name}: expected sv39x4 or sv48x4`)
  }
  return {
    paging: options.paging ?? 'two-dimensional',
    gpaMode,
    adUpdate: options.adUpdate ?? 'svadu',
    shadowPageLimit: options.shadowPageLimit ?? Infinity,
    mmuLock: options.mmuLock ?? 'exclusive',
    guestTables: options.guestTables ?? 'unsync',
    dirtyLog: options.dirtyLog ?? 'automatic',
  }
}
