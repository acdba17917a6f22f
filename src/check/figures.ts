/**
 * The figures of a run as plain data: for each address space, for the host and for each SRCU domain; and what they say
 * about which mechanisms did real work.
 *
 * R1 Durations are virtual nanoseconds. A hook has *slept* when its task gave up the CPU because it had to wait; a switch
 *    point that merely let another task run does not count.
 */
import type { Histogram } from './histogram.ts'

/** How often each of some named things happened. */
export type Tally = Record<string, number>

export function count(tally: Tally, what: string, times = 1): void {
  tally[what] = (tally[what] ?? 0) + times
}

/** All counts of a tally together. */
export function total(tally: Tally): number {
  let sum = 0
  for (const what of Object.keys(tally)) sum += tally[what]!
  return sum
}

/** One hook of the clients of an mm. */
export interface HookFigures {
  calls: number
  slept: number
  sleptTime: number
  longest: number
}

/** One address space with the VM that shows it, if there is one. */
export interface MmFigures {
  readonly mm: number
  /** The VM bound to it; 0 for none. */
  vm: number
  /** Guest faults taken by the hypervisor, and how they ended. */
  guestFaults: number
  readonly faultOutcomes: Tally
  readonly retries: Tally
  sptesFilled: number
  /** Sptes dropped, by notifier event for invalidations, otherwise by cause. */
  readonly zaps: Tally
  sptesWriteProtected: number
  /** Sptes rewritten in place or dropped by change_pte. */
  sptesChanged: number
  /** Answers "used since the last look" that an spte gave. */
  youngAnswers: number
  readonly hooks: Record<string, HookFigures>
  readonly windows: Tally
  windowsRefused: number
  remoteFlushes: number
  /** Remote flushes that had to wait for a vCPU in guest mode. */
  remoteFlushesWaited: number
  tlbEntriesRemoved: number
  /** Table pages that the VM built, and those among them that shadow a table of the guest. */
  tablePages: number
  shadowPages: number
  tableWrites: number
  hostFaults: number
  hostFlushes: number
  cowCopies: number
  cowReuses: number
  swappedOut: number
  ksmMerged: number
  ksmUnmerged: number
  forks: number
}

/** The host as a whole. */
export interface HostFigures {
  framesAllocated: number
  framesFreed: number
  /** Pages that reclaim looked at, by verdict. */
  readonly reclaim: Tally
  swapWrites: number
  swapReads: number
  migrated: number
  outOfMemory: number
  switches: number
}

/** One SRCU domain. */
export interface SrcuFigures {
  readonly name: string
  readSections: number
  gracePeriods: number
  /** Longest grace period. */
  longestGracePeriod: number
  synchronizes: number
  /** Longest time that a caller of synchronize waited. */
  longestWait: number
  readonly waits: Histogram
}

export function freshMm(mm: number): MmFigures {
  return {
    mm,
    vm: 0,
    guestFaults: 0,
    faultOutcomes: {},
    retries: {},
    sptesFilled: 0,
    zaps: {},
    sptesWriteProtected: 0,
    sptesChanged: 0,
    youngAnswers: 0,
    hooks: {},
    windows: {},
    windowsRefused: 0,
    remoteFlushes: 0,
    remoteFlushesWaited: 0,
    tlbEntriesRemoved: 0,
    tablePages: 0,
    shadowPages: 0,
    tableWrites: 0,
    hostFaults: 0,
    hostFlushes: 0,
    cowCopies: 0,
    cowReuses: 0,
    swappedOut: 0,
    ksmMerged: 0,
    ksmUnmerged: 0,
    forks: 0,
  }
}

/** All figures of a run. */
export interface Figures {
  /** By id of the mm. */
  readonly mms: ReadonlyMap<number, MmFigures>
  /** By name of the domain. */
  readonly srcu: ReadonlyMap<string, SrcuFigures>
  readonly host: HostFigures
}

/** One mechanism of the protocol, and how often it did real work. */
export interface Work {
  readonly what: string
  readonly times: number
}

/** Every mechanism that a good run shows at work; those with 0 were never put to the test. */
export function vacuity(figures: Figures): Work[] {
  const mms = [...figures.mms.values()]
  const sum = (of: (mm: MmFigures) => number): number => mms.reduce((all, mm) => all + of(mm), 0)
  const hooks: Work[] = []
  for (const op of new Set(mms.flatMap((mm) => Object.keys(mm.hooks)))) {
    hooks.push({ what: `hook ${op} called`, times: sum((mm) => mm.hooks[op]?.calls ?? 0) })
  }
  const slept = sum((mm) => Object.values(mm.hooks).reduce((all, hook) => all + hook.slept, 0))
  const retry = (reason: string): Work => ({
    what: `fault retried: ${reason}`,
    times: sum((mm) => mm.retries[reason] ?? 0),
  })
  return [
    ...hooks.toSorted((a, b) => (a.what < b.what ? -1 : 1)),
    { what: 'hook slept under SRCU', times: slept },
    { what: 'spte zapped by a hook', times: sum((mm) => total(mm.zaps)) },
    { what: 'spte rewritten by change_pte', times: sum((mm) => mm.sptesChanged) },
    { what: 'spte kept a page young', times: sum((mm) => mm.youngAnswers) },
    { what: 'spte write-protected', times: sum((mm) => mm.sptesWriteProtected) },
    retry('in-progress'),
    retry('sequence'),
    { what: 'remote flush waited for a vCPU', times: sum((mm) => mm.remoteFlushesWaited) },
    { what: 'vCPU TLB entry removed', times: sum((mm) => mm.tlbEntriesRemoved) },
    { what: 'guest page table shadowed', times: sum((mm) => mm.shadowPages) },
    { what: 'store to a guest page table trapped', times: sum((mm) => mm.tableWrites) },
    { what: 'grace period ended', times: [...figures.srcu.values()].reduce((all, s) => all + s.gracePeriods, 0) },
    { what: 'page copied on write', times: sum((mm) => mm.cowCopies) },
    { what: 'page swapped out', times: sum((mm) => mm.swappedOut) },
    { what: 'page read back from swap', times: figures.host.swapReads },
    { what: 'page migrated', times: figures.host.migrated },
    { what: 'page merged by KSM', times: sum((mm) => mm.ksmMerged) },
  ]
}
