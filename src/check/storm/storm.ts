/**
 * Storms: tasks that take a running guest's pages away, each in a way of its own.
 *
 * R1 A storm never changes what the guest computes: every page it takes comes back with its content, and what a store
 *    of the host writes is invisible to the guest.
 * R2 Every choice comes from the storm's own random stream: the same seed gives the same storm.
 * R3 Operations that change the layout of guest memory exclude each other, as in any VMM; against faults, reclaim,
 *    KSM, the children of forks and the guest itself nothing excludes them.
 */
import { KernelError, PAGE_SIZE } from '../../base/index.ts'
import type { Random } from '../../base/index.ts'
import { mmapLock } from '../../host/index.ts'
import type { AddressSpace, Mm } from '../../host/index.ts'
import { Mutex, WaitQueue, lockClass } from '../../sched/index.ts'
import type { LockClass, Scheduler } from '../../sched/index.ts'

/** A part of guest memory as the mm maps it. */
export interface StormRegion {
  /** Host virtual address, page aligned. */
  readonly start: number
  /** Bytes. */
  readonly length: number
  /** The file it shows, mapped shared; null for private anonymous memory. */
  readonly file: AddressSpace | null
  /** Offset in the file, in bytes. */
  readonly offset: number
}

const layoutLock: LockClass = lockClass({
  name: 'vmm_layout',
  type: 'mutex',
  protects: 'Which parts of guest memory are mapped, and with which rights, while a storm changes them.',
  outside: [mmapLock],
})

/** Guest memory under a storm. */
export class StormTarget {
  static readonly opaque = true
  readonly mm: Mm
  readonly regions: readonly StormRegion[]
  /** Protects the mappings of `regions`. Taken before the mmap lock. */
  readonly layout: Mutex
  /** Set when the guest has ended: storms stop. */
  ended = false
  /** Counts repairs: a guest access that failed because of a storm succeeds after the next one. */
  repairs = 0
  private broken = 0
  private readonly repaired: WaitQueue

  constructor(mm: Mm, regions: readonly StormRegion[]) {
    this.mm = mm
    this.regions = regions
    this.layout = new Mutex(mm.sched, layoutLock, `vmm_layout ${mm.name}`)
    this.repaired = new WaitQueue(mm.sched, `repair of ${mm.name}`)
  }

  get sched(): Scheduler {
    return this.mm.sched
  }

  /** From here until `repair` the guest may be refused an access that it is entitled to (KVM_EXIT_MEMORY_FAULT). */
  damage(): void {
    this.broken++
  }

  repair(): void {
    this.broken--
    this.repairs++
    if (this.broken === 0) this.repaired.wakeAll()
  }

  /** Sleeps until no storm keeps guest memory damaged: then a refused access may be tried again. */
  async whole(): Promise<void> {
    await this.repaired.wait(() => this.broken === 0, { why: 'a storm repairs guest memory' })
  }
}

export interface StormKind {
  readonly name: string
  /** One line. */
  readonly summary: string
  /** One operation. Errors of memory shortage may leave it; nothing else may. */
  operate(target: StormTarget, random: Random): Promise<void>
}

/** Whole pages somewhere in a region. */
export interface PageRange {
  readonly region: StormRegion
  readonly start: number
  readonly length: number
}

/** A random range of at most `pages` pages of a region that qualifies; undefined when none does. */
export function pickRange(
  target: StormTarget,
  random: Random,
  pages: number,
  qualifies: (region: StormRegion) => boolean = () => true,
): PageRange | undefined {
  const regions = target.regions.filter(qualifies)
  if (regions.length === 0) return undefined
  const region = random.pick(regions)
  const inRegion = region.length / PAGE_SIZE
  const count = random.between(1, Math.min(pages, inRegion))
  const first = random.between(0, inRegion - count)
  return { region, start: region.start + first * PAGE_SIZE, length: count * PAGE_SIZE }
}

/** A random range of at most `pages` pages anywhere in guest memory, which is one piece of many mappings. */
export function pickSpan(target: StormTarget, random: Random, pages: number): { start: number; length: number } {
  const from = target.regions[0]!.start
  const last = target.regions.at(-1)!
  const all = (last.start + last.length - from) / PAGE_SIZE
  const count = random.between(1, Math.min(pages, all))
  return { start: from + random.between(0, all - count) * PAGE_SIZE, length: count * PAGE_SIZE }
}

export const isShared = (region: StormRegion): boolean => region.file !== null
export const isPrivate = (region: StormRegion): boolean => region.file === null

/** How often a storm has struck. Opaque: figures only grow. */
export class StormCount {
  static readonly opaque = true
  readonly kind: string
  operations = 0
  /** Refused by the host for want of memory. */
  refused = 0

  constructor(kind: string) {
    this.kind = kind
  }
}

/** Virtual nanoseconds between two operations of one storm. */
export interface StormPace {
  readonly shortest: number
  readonly longest: number
}

/** One storm on one guest: runs as a task of its own until the guest has ended. */
export async function stormLoop(
  kind: StormKind,
  target: StormTarget,
  random: Random,
  pace: StormPace,
  count: StormCount,
): Promise<void> {
  for (;;) {
    await target.sched.sleep(random.between(pace.shortest, pace.longest))
    if (target.ended) return
    try {
      await kind.operate(target, random)
      count.operations++
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'ENOMEM') throw error
      count.refused++
    }
  }
}
