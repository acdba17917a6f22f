/**
 * Runs a litmus test on a real SRCU, one schedule at a time.
 *
 * R1 Each step is preceded by a switch point; what SRCU does inside has its own.
 */
import { KernelBug } from '../../base/index.ts'
import { Rcu, createSrcu } from '../../notifier/index.ts'
import type { Srcu, SrcuKind } from '../../notifier/index.ts'
import { Scheduler } from '../../sched/index.ts'
import type { Decision, Policy, Task } from '../../sched/index.ts'
import type { Witness } from './oracle.ts'
import { RCU } from './program.ts'
import type { Process, Step } from './program.ts'

/** What stands in for an implementation. */
export type MakeSrcu = (kind: SrcuKind, sched: Scheduler, name: string) => Srcu

const DEFAULT_SRCU: MakeSrcu = (kind, sched, name) => createSrcu(kind, sched, { name })

/**
 * Follows an interleaving as closely as the implementation lets it: whoever is to make the next step runs, if he can.
 * A sync has begun when it blocks. What SRCU spawns for itself goes first.
 */
export class Following implements Policy {
  readonly name = 'following'
  readonly preemptive = true
  readonly migrates = false
  /** For each step of the interleaving, how many its process has made before it. */
  private readonly before: readonly number[]
  private readonly witness: Witness
  private readonly made: number[] = []
  private at = 0

  constructor(witness: Witness) {
    this.witness = witness
    const count: number[] = []
    this.before = witness.map((proc) => {
      count[proc] = (count[proc] ?? 0) + 1
      return count[proc] - 1
    })
  }

  /** A process has made so many of its steps. */
  progress(proc: number, steps: number): void {
    this.made[proc] = steps
  }

  decide(kind: Decision, _count: number, running: Task, ready: readonly Task[]): number {
    if (kind === 'value' || kind === 'cpu') return 0
    const own = ready.findIndex((task) => !isProcess(task))
    if (kind === 'point' && !isProcess(running)) return 0
    if (own >= 0) return kind === 'point' ? own + 1 : own
    for (; this.at < this.witness.length; this.at++) {
      const proc = this.witness[this.at]!
      if ((this.made[proc] ?? 0) > this.before[this.at]!) continue
      if (kind === 'point' && running.name === `P${proc}`) return 0
      // Who yields waits for somebody else: as good as blocked.
      const index = ready.findIndex((task) => task.name === `P${proc}` && (kind === 'point' || task !== running))
      if (index >= 0) return kind === 'point' ? index + 1 : index
    }
    return 0
  }
}

const isProcess = ({ name }: Task): boolean => /^P\d+$/.test(name)

/** What sections and grace periods a test may name. */
type Domain = Pick<Srcu, 'readLock' | 'readUnlock' | 'downRead' | 'upRead' | 'synchronize'>

/** Plain RCU, whose sections belong to their task. */
class RcuDomain implements Domain {
  private readonly rcu: Rcu

  constructor(sched: Scheduler) {
    this.rcu = new Rcu(sched)
  }

  async readLock(): Promise<number> {
    this.rcu.readLock()
    return 0
  }

  async readUnlock(): Promise<void> {
    this.rcu.readUnlock()
  }

  downRead(): Promise<number> {
    throw new KernelBug('litmus: a section of rcu ends in the task that began it')
  }

  upRead(): Promise<void> {
    return this.readUnlock()
  }

  synchronize(): Promise<void> {
    return this.rcu.synchronize()
  }
}

/** One run. */
export class LitmusRun {
  /** Registers as `0:r1`, locations by name. */
  readonly values: Map<string, number> = new Map<string, number>()
  private readonly sched: Scheduler
  private readonly domains = new Map<string, Domain>()
  private readonly policy: Policy

  constructor(kind: SrcuKind, policy: Policy, procs: readonly Process[], make: MakeSrcu = DEFAULT_SRCU) {
    this.policy = policy
    this.sched = new Scheduler({ policy })
    for (const steps of procs) {
      for (const step of steps) {
        if ('domain' in step && !this.domains.has(step.domain)) {
          const { domain } = step
          this.domains.set(domain, domain === RCU ? new RcuDomain(this.sched) : make(kind, this.sched, domain))
        }
      }
    }
  }

  /** Runs all processes to their end. @throws what one of them failed with */
  async run(procs: readonly Process[]): Promise<void> {
    const { sched } = this
    // The tasks are spawned in one step of a task that then ends: no decision comes before them.
    await sched.run('litmus', async () => {
      for (const [proc, steps] of procs.entries()) sched.spawn(`P${proc}`, () => this.process(proc, steps))
    })
  }

  private async process(proc: number, steps: Process): Promise<void> {
    let made = 0
    for (const step of steps) {
      if (this.sched.contended) await this.sched.point(this, 'w', step.op)
      await this.step(proc, step)
      made += step.op === 'sync' ? 2 : 1
      if (this.policy instanceof Following) this.policy.progress(proc, made)
    }
  }

  private async step(proc: number, step: Step): Promise<void> {
    const { values } = this
    switch (step.op) {
      case 'read':
        values.set(`${proc}:${step.register}`, values.get(step.location) ?? 0)
        return
      case 'write':
        values.set(step.location, step.value)
        return
      case 'await':
        while (values.get(step.location) !== step.value) await this.sched.yieldNow()
        return
      case 'lock':
        values.set(`${proc}:${step.index}`, await this.domain(step.domain).readLock())
        return
      case 'unlock':
        await this.domain(step.domain).readUnlock(values.get(`${proc}:${step.index}`) ?? 0)
        return
      case 'down':
        values.set(step.index, await this.domain(step.domain).downRead())
        return
      case 'up':
        await this.domain(step.domain).upRead(values.get(step.index) ?? 0)
        return
      case 'sync':
        await this.domain(step.domain).synchronize()
        return
    }
  }

  private domain(name: string): Domain {
    const srcu = this.domains.get(name)
    if (srcu === undefined) throw new KernelBug(`litmus: no domain '${name}'`)
    return srcu
  }
}
