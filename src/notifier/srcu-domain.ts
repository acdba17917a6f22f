/**
 * What the three SRCU implementations have in common: reports, figures, the worker, waiting for a grace period.
 *
 * An implementation brings the counters and the grace period; everything here would be lockdep, tracepoints and the
 * workqueue in Linux.
 *
 * R1 A switch point stands before each access to a shared counter, so where the kernel has its barriers A to E the
 *    checker can split. The marks in the implementations name them.
 * R2 The worker starts with the first work and is a daemon: callbacks still pending at the end of a run are dropped.
 * R3 Where the kernel polls every jiffy for the last reader, the driver sleeps until the counters may read zero.
 */
import { KernelBug } from '../base/index.ts'
import { Completion, LockClass, WaitQueue } from '../sched/index.ts'
import type { Scheduler, Task } from '../sched/index.ts'
import { SrcuReaders } from './srcu-readers.ts'
import { SrcuStats, SrcuWait } from './srcu.ts'
import type { Srcu, SrcuCallback, SrcuKind, SrcuOptions } from './srcu.ts'

/** Nobody is being waited for. */
export const NO_INDEX: number = -1

/** Is the sequence number `a` at or beyond `b`, modulo 2^32 (ULONG_CMP_GE)? */
export const seqReached = (a: number, b: number): boolean => ((a - b) | 0) >= 0

export abstract class SrcuDomain implements Srcu {
  abstract readonly kind: SrcuKind
  readonly name: string
  readonly stats: SrcuStats = new SrcuStats()
  protected readonly sched: Scheduler
  protected readonly cpus: number
  protected readonly readers: SrcuReaders
  /** Index whose last reader must wake the driver. */
  protected waitsOn: number = NO_INDEX
  /** The task that drives the grace period in progress, for the wait graph. */
  protected driver: Task | null = null
  /** The driver of a grace period sleeps here. */
  private readonly lastReader: WaitQueue
  /** The idle worker sleeps here. */
  private readonly work: WaitQueue
  private worker: Task | null = null
  private workPending = false
  private dead = false

  constructor(sched: Scheduler, options: SrcuOptions) {
    this.sched = sched
    this.name = options.name
    this.cpus = options.cpus ?? sched.cpus
    const lockClass =
      options.lockClass ??
      new LockClass({ name: options.name, type: 'srcu', protects: `What its readers may still see (${options.name}).` })
    this.readers = new SrcuReaders(sched, lockClass, `srcu ${options.name}`)
    this.lastReader = new WaitQueue(sched, `readers of srcu ${options.name}`)
    this.work = new WaitQueue(sched, `work of srcu ${options.name}`)
  }

  abstract readLock(): Promise<number>
  abstract readUnlock(idx: number): Promise<void>
  abstract readLockFast(): number
  abstract readUnlockFast(idx: number): void
  abstract downRead(): Promise<number>
  abstract upRead(idx: number): Promise<void>
  abstract call(callback: SrcuCallback): void
  abstract getState(): number
  abstract startPoll(): number
  abstract pollState(cookie: number): boolean

  /** Sum over all CPUs of the readers on one index, in one step. */
  protected abstract readersOn(idx: number): number
  /** Callbacks not yet run. */
  protected abstract pendingCallbacks(): number
  /** Waits until a grace period that begins now is over. */
  protected abstract gracePeriod(expedited: boolean): Promise<void>
  /** One round of the worker: advance grace periods, run callbacks. */
  protected abstract process(): Promise<void>

  async synchronize(): Promise<void> {
    await this.waitForReaders('synchronize', false)
  }

  async synchronizeExpedited(): Promise<void> {
    await this.waitForReaders('synchronizeExpedited', true)
  }

  /** Valid where callbacks run in the order of one queue. */
  async barrier(): Promise<void> {
    this.readers.checkMayWait('barrier')
    await this.gracePeriod(false)
  }

  async cleanup(): Promise<boolean> {
    const isIdle = (): boolean => this.readersOn(0) === 0 && this.readersOn(1) === 0
    if (isIdle() && this.pendingCallbacks() > 0) await this.barrier()
    if (isIdle() && this.pendingCallbacks() === 0) {
      this.dead = true
      return true
    }
    if (this.sched.trace.on) {
      this.sched.trace.emit({
        name: 'srcu_leak',
        srcu: this.name,
        readers: this.readers.names(),
        callbacks: this.pendingCallbacks(),
      })
    }
    return false
  }

  isHeldBy(task: Task): boolean {
    return this.readers.has(task)
  }

  activeReaders(): readonly Task[] {
    return this.readers.all()
  }

  /** The running task has just counted itself in on `idx`. */
  protected entered(idx: number): void {
    if (this.dead) throw new KernelBug(`${this.readers.describe()} is used after its cleanup`, 'I5')
    this.readers.enter(idx)
    this.stats.sections++
    if (this.sched.trace.on) this.sched.trace.emit({ name: 'srcu_read_lock', srcu: this.name, idx })
  }

  /** The running task is about to count itself out. @throws KernelBug I5 when it is not in */
  protected leaving(idx: number): void {
    this.readers.leave(idx)
    if (this.sched.trace.on) this.sched.trace.emit({ name: 'srcu_read_unlock', srcu: this.name, idx })
  }

  /** A reader has counted itself out: the driver may be waiting for exactly this one. */
  protected left(idx: number): void {
    if (this.waitsOn === idx && this.isQuiet(idx)) this.lastReader.wakeAll()
  }

  /** May the driver look again at the readers of this index? Only a hint: what it then reads decides. */
  protected isQuiet(idx: number): boolean {
    return this.readersOn(idx) === 0
  }

  /** The driver sleeps until there may be no reader on this index. */
  protected async waitForLastReader(idx: number): Promise<void> {
    this.waitsOn = idx
    await this.lastReader.wait(() => this.isQuiet(idx), {
      why: `the last reader of srcu ${this.name} on index ${idx}`,
      holders: () => this.readers.on(idx),
    })
    this.waitsOn = NO_INDEX
  }

  /** Sleeps until the grace period that `completion` stands for is over. */
  protected async waitForCompletion(completion: Completion, what: string): Promise<void> {
    await completion.wait({ why: `${what} of srcu ${this.name}`, holders: () => this.holdUps() })
  }

  protected newCompletion(): Completion {
    return new Completion(this.sched, `grace period of srcu ${this.name}`)
  }

  /** Lets the worker run `process`, once or again. */
  protected queueWork(): void {
    this.workPending = true
    if (this.worker === null) {
      this.worker = this.sched.spawn(`srcu/${this.name}`, () => this.runWorker(), { daemon: true })
    } else {
      this.work.wakeOne()
    }
  }

  protected async invoke(callback: SrcuCallback): Promise<void> {
    const what = `callback of srcu ${this.name}`
    this.sched.enterAtomic(what)
    await callback()
    this.sched.leaveAtomic(what)
    this.stats.callbacks++
  }

  protected gracePeriodStarts(): void {
    this.driver = this.sched.current
    this.stats.gracePeriods++
    if (this.sched.trace.on) {
      this.sched.trace.emit({ name: 'srcu_gp_start', srcu: this.name, gp: this.stats.gracePeriods })
    }
  }

  protected gracePeriodEnds(): void {
    this.driver = null
    if (this.sched.trace.on) {
      this.sched.trace.emit({ name: 'srcu_gp_end', srcu: this.name, gp: this.stats.gracePeriods })
    }
  }

  /** Who keeps the grace period in progress from ending. */
  private holdUps(): readonly Task[] {
    if (this.waitsOn !== NO_INDEX) return this.readers.on(this.waitsOn)
    return this.driver === null ? [] : [this.driver]
  }

  private async waitForReaders(call: string, expedited: boolean): Promise<void> {
    this.readers.checkMayWait(call)
    const { sched } = this
    const wait = new SrcuWait(sched.now)
    if (sched.trace.on) sched.trace.emit({ name: 'synchronize_srcu_begin', srcu: this.name, expedited })
    await this.gracePeriod(expedited)
    this.stats.endWait(wait, sched.now)
    if (sched.trace.on) sched.trace.emit({ name: 'synchronize_srcu_end', srcu: this.name, expedited })
  }

  private async runWorker(): Promise<void> {
    for (;;) {
      await this.work.wait(() => this.workPending)
      this.workPending = false
      if (this.driver !== null) this.driver = this.worker
      await this.process()
    }
  }
}
