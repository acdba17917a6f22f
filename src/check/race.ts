/**
 * The two steps of a failing run that race: the last two accesses to the page of the violation by different tasks, of
 * which at least one changes something. Where the violation is about no page: those to the notifier or the SRCU domain
 * that the failing task dealt with last.
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

/** Events about a notifier or a domain that change nothing for the others. */
const USES = /^(mmu_notifier_callout_|srcu_read_)/

/** What of no page an event is about: a notifier of an mm, a domain. */
function objectOf({ event }: RecordedEvent): string | null {
  const { mm, notifier, srcu } = event as { readonly mm?: number; readonly notifier?: number; readonly srcu?: string }
  if (notifier !== undefined) return `notifier ${notifier} of ${mm}`
  return srcu === undefined ? null : `domain ${srcu}`
}

/**
 * For a violation that names no page.
 * @param task who was running
 * @returns indices into the trace, ascending; null when nobody else dealt with what the task dealt with
 */
export function racingOnObject(trace: readonly RecordedEvent[], task: string): readonly [number, number] | null {
  const late = trace.findLastIndex((one) => one.stamp.task === task && objectOf(one) !== null)
  if (late < 0) return null
  const object = objectOf(trace[late]!)
  const changes = !USES.test(trace[late]!.event.name)
  for (let early = late - 1; early >= 0; early--) {
    const one = trace[early]!
    if (one.stamp.task === task || objectOf(one) !== object) continue
    if (changes || !USES.test(one.event.name)) return [early, late]
  }
  return null
}

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
