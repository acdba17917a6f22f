/**
 * Who is inside a read section: what lockdep knows of SRCU (Linux srcu_lock_acquire, srcu_lock_sync).
 *
 * The counters of an SRCU domain say how many readers there are; this says who, for misuse reports and for the wait
 * graph. No grace period depends on it.
 *
 * R1 One record a task and domain, reused: entering and leaving allocate nothing once the table has grown. Records are in
 *    the order of pids: who came first is no part of the state, and no grace period asks.
 * R2 A section that its own task must leave is among the task's held locks, so that a lock taken inside, a wait under
 *    a lock, and the end of the task inside are checked as for any lock. Entering never waits, so it adds no edge.
 */
import { KernelBug } from '../base/index.ts'
import { Lock } from '../sched/index.ts'
import type { LockClass, Scheduler, Task } from '../sched/index.ts'

class SrcuReader {
  task: Task | null = null
  /** Sections open on index 0 and on index 1. */
  zero = 0
  one = 0
}

/** A domain in the list of locks that a task holds. */
class SrcuSection extends Lock {
  private readonly readers: SrcuReaders

  constructor(sched: Scheduler, lockClass: LockClass, name: string, readers: SrcuReaders) {
    super(sched, lockClass, name)
    this.readers = readers
  }

  describe(): string {
    return this.name
  }

  holders(): readonly Task[] {
    return this.readers.all()
  }

  acquired(task: Task): void {
    this.noteAcquired(task)
  }

  released(task: Task): void {
    this.noteReleased(task)
  }
}

export class SrcuReaders {
  /** How many records there were once changes nothing. */
  static readonly opaque: readonly string[] = ['spare']
  private readonly sched: Scheduler
  private readonly section: SrcuSection
  /** Of the tasks inside, by their pids. */
  private readonly records: SrcuReader[] = []
  /** Records of nobody. */
  private readonly spare: SrcuReader[] = []
  /** Sections begun by downRead, which belong to no task. */
  private handedZero = 0
  private handedOne = 0

  /** @param label as reports name the domain: `srcu mmu_notifier` */
  constructor(sched: Scheduler, lockClass: LockClass, label: string) {
    this.sched = sched
    this.section = new SrcuSection(sched, lockClass, label, this)
  }

  describe(): string {
    return this.section.describe()
  }

  enter(idx: number): void {
    const task = this.sched.current
    const reader = this.find(task) ?? this.add(task)
    if (idx === 0) reader.zero++
    else reader.one++
    this.section.acquired(task)
  }

  /** @throws KernelBug I5 when the running task has no section open on this index */
  leave(idx: number): void {
    const task = this.sched.current
    const reader = this.find(task)
    if (reader === undefined || (idx === 0 ? reader.zero : idx === 1 ? reader.one : 0) === 0) {
      throw new KernelBug(this.explain(task, reader, idx), 'I5')
    }
    if (idx === 0) reader.zero--
    else reader.one--
    this.section.released(task)
    if (reader.zero + reader.one === 0) this.remove(reader)
  }

  handOut(idx: number): void {
    if (idx === 0) this.handedZero++
    else this.handedOne++
  }

  /** @throws KernelBug I5 when no section that downRead began is open on this index */
  takeBack(idx: number): void {
    if ((idx === 0 ? this.handedZero : idx === 1 ? this.handedOne : 0) === 0) {
      throw new KernelBug(`${this.describe()}: upRead(${idx}) without a downRead that returned ${idx}`, 'I5')
    }
    if (idx === 0) this.handedZero--
    else this.handedOne--
  }

  /**
   * The running task is about to wait for a grace period.
   * @throws KernelBug I8 when it is itself a reader, or holds a lock that readers take
   */
  checkMayWait(what: string): void {
    const task = this.sched.current
    if (this.find(task) !== undefined) {
      throw new KernelBug(
        `task ${task.name} calls ${what} inside its own read section of ${this.describe()}: it would wait for itself`,
        'I8',
      )
    }
    this.sched.mightSleep(`${what} of ${this.describe()}`)
    for (const lock of task.held) this.sched.lockOrder.check(task, lock.lockClass, this.section.lockClass)
  }

  has(task: Task): boolean {
    return this.find(task) !== undefined
  }

  /** Index of a section that the running task is in, or -1. */
  currentIndex(): number {
    const reader = this.find(this.sched.current)
    return reader === undefined ? -1 : reader.zero > 0 ? 0 : 1
  }

  /** Tasks inside, by their pids. */
  all(): readonly Task[] {
    return this.on(2)
  }

  /** Tasks inside on one index; 2 means either. */
  on(idx: number): readonly Task[] {
    const tasks: Task[] = []
    for (let i = 0; i < this.records.length; i++) {
      const reader = this.records[i]!
      if ((idx !== 1 && reader.zero > 0) || (idx !== 0 && reader.one > 0)) tasks.push(reader.task!)
    }
    return tasks
  }

  /** Names for reports, sections without an owner included. */
  names(): readonly string[] {
    const names = this.all().map((task) => task.name)
    const handed = this.handedZero + this.handedOne
    if (handed > 0) names.push(`${handed} section${handed === 1 ? '' : 's'} begun by downRead`)
    return names
  }

  private find(task: Task): SrcuReader | undefined {
    for (let i = 0; i < this.records.length; i++) if (this.records[i]!.task === task) return this.records[i]
    return undefined
  }

  private add(task: Task): SrcuReader {
    const { records } = this
    const reader = this.spare.pop() ?? new SrcuReader()
    reader.task = task
    let at = records.length
    records.push(reader)
    for (; at > 0 && records[at - 1]!.task!.pid > task.pid; at--) records[at] = records[at - 1]!
    records[at] = reader
    return reader
  }

  private remove(reader: SrcuReader): void {
    const { records } = this
    for (let i = records.indexOf(reader) + 1; i < records.length; i++) records[i - 1] = records[i]!
    records.pop()
    reader.task = null
    this.spare.push(reader)
  }

  private explain(task: Task, reader: SrcuReader | undefined, idx: number): string {
    const call = `task ${task.name} calls readUnlock(${idx}) of ${this.describe()}`
    if (idx !== 0 && idx !== 1) return `${call}: readLock returns 0 or 1`
    if (reader !== undefined) return `${call}, but the section it is in returned ${1 - idx}: the indices are crossed`
    const others = this.on(idx).map((other) => other.name)
    if (others.length === 0) return `${call}, but it is in no section: unlocked twice?`
    return `${call}, whose section belongs to ${others.join(', ')}: hand sections over with downRead and upRead`
  }
}
