/**
 * The two steps of a failing run that race: the last two accesses to the page of the violation by different tasks, of
 * which at least one changes something.
 */
import { touches } from './event-history.ts'
import type { PageNames } from './event-history.ts'
import type { RecordedEvent } from './scenario.ts'

/** Events that only look. All others change what they name. */
const READS: ReadonlySet<string> = new Set([
  'mem_load',
  'page_fault_user',
  'kvm_page_fault',
  'kvm_page_fault_done',
  'kvm_mmu_snapshot_seq',
  'kvm_test_age_hva',
])

/** Events that say where an operation or a callout begins and ends: they access nothing themselves. */
const BRACKET = /^(mm_range_|mmu_notifier_|kvm_mmu_invalidate_|tlb_flush$)/

/** @returns indices into the trace, ascending; null when no two tasks touched the page */
export function racingSteps(trace: readonly RecordedEvent[], page: PageNames): readonly [number, number] | null {
  const accesses = trace.flatMap(({ event, stamp }, at) =>
    touches(event, page) && !BRACKET.test(event.name) ? [{ at, task: stamp.task, writes: !READS.has(event.name) }] : [],
  )
  for (let second = accesses.length - 1; second > 0; second--) {
    const late = accesses[second]!
    for (let first = second - 1; first >= 0; first--) {
      const early = accesses[first]!
      if (early.task !== late.task && (early.writes || late.writes)) return [early.at, late.at]
    }
  }
  return null
}
