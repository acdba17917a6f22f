/**
 * What one VM's MMU has done, as numbers that only grow: for tables, and to prove that each part did real work.
 */
import type { ZapCause } from '../base/index.ts'

/** Leaf sptes dropped, by cause. */
export class ZapCounts implements Record<ZapCause, number> {
  static readonly opaque = true
  invalidate = 0
  change_pte = 0
  release = 0
  memslot = 0
  'pfn-changed' = 0
  split = 0
  collapse = 0
  recycle = 0
  'gpte-write' = 0
  'gpte-sync' = 0
  'obsolete-root' = 0
  destroy = 0
}

export class MmuStats {
  static readonly opaque = true
  /** Page faults that reached the fault path. */
  faults = 0
  /** Leaf sptes installed or upgraded by it. */
  mapped = 0
  /** Faults fixed without a host lookup (only the dirty log had taken W away). */
  fastFixed = 0
  /** Faults that found the access allowed already. */
  spurious = 0
  /** Faults that found their translation stale, by reason. */
  retriesInProgress = 0
  retriesSequence = 0
  retriesMemslot = 0
  retriesRoot = 0
  retriesGpte = 0
  /** Another fault under the shared mmuLock set the entry first. */
  retriesRaced = 0
  mmio = 0
  efault = 0
  oom = 0
  /** Leaf sptes dropped, by cause. */
  readonly zapped: ZapCounts = new ZapCounts()
  /** Invalidations whose range hit a slot, and all of them. */
  invalidations = 0
  invalidationsSeen = 0
  /** Sptes rewritten by changePte. */
  changePteRewritten = 0
  /** changePte calls that had to drop instead, or found nothing. */
  changePteIgnored = 0
  /** Sptes found young by the aging hooks. */
  youngFound = 0
  agingCalls = 0
  /** Pages whose dirty state was handed to the host by a dropped spte. */
  dirtyHandedOver = 0
  youngHandedOver = 0
  /** Remote flushes begun, those that had to wait for a vCPU, and those that removed a TLB entry. */
  flushes = 0
  flushesWaited = 0
  flushesThatRemoved = 0
  tlbEntriesFlushed = 0
  tlbFills = 0
  /** Reverse-map entries looked at by range operations: the cost of an invalidation. */
  rmapVisits = 0
  /** Sptes that lost W, for the dirty log or a guest page table. */
  writeProtected = 0
  /** Shadow pages built, zapped and recycled for want of room. */
  shadowPagesBuilt = 0
  shadowPagesZapped = 0
  shadowPagesRecycled = 0
  /** Stores to guest page tables that trapped, and those carried out for the guest. */
  trackedWrites = 0
  emulatedStores = 0
  unsynced = 0
  synced = 0

  get retries(): number {
    const looked = this.retriesInProgress + this.retriesSequence + this.retriesMemslot
    return looked + this.retriesRoot + this.retriesGpte + this.retriesRaced
  }

  get zappedTotal(): number {
    let total = 0
    for (const count of Object.values(this.zapped)) total += count
    return total
  }
}
