/**
 * A session: one kernel with its guests, the storms on them, the auditor and the figures, from boot to verdict.
 *
 * R1 Guest memory is half private anonymous memory (for fork, COW, KSM and swap) and half a shared memory file (whose
 *    pages may be unmapped at any time and keep their content), in alternating stripes.
 * R2 A guest that ends, for whatever reason, ends alone; the others go on.
 * R3 Everything is undone at the end, so that what is left over is a leak (I14).
 */
import { KernelError, KiB, Random, hva } from '../base/index.ts'
import type { Hva, Probe } from '../base/index.ts'
import { Machine, engineBytes } from '../guest/index.ts'
import type { EngineName, MachineCause, MachineResult } from '../guest/index.ts'
import { Kernel } from '../host/index.ts'
import type { Mm } from '../host/index.ts'
import { encodeSchedule } from '../sched/index.ts'
import type { Policy, Task } from '../sched/index.ts'
import { Auditor, violationOf } from './auditor.ts'
import type { AuditLevel } from './auditor.ts'
import { FigureCollector } from './figure-collector.ts'
import { total } from './figures.ts'
import type { Injection } from './inject.ts'
import { checksMade } from './report.ts'
import type { GuestReport, Outcome, RunProgress, RunReport, StormReport } from './report.ts'
import { StormCount, StormTarget, stormLoop } from './storm/index.ts'
import type { StormKind, StormPace, StormRegion } from './storm/index.ts'
import { KernelWorld } from './kernel-world.ts'

export interface GuestSpec {
  readonly name: string
  /** An ELF file or a flat Image. */
  readonly program: Uint8Array
  /** Bytes of guest memory, a multiple of the page size. */
  readonly memory: number
  readonly harts: number
  readonly paging: 'two-dimensional' | 'shadow'
  readonly bootargs: string
  /** Instructions after which it is stopped. */
  readonly budget: number
  /** Sees what the guest writes to its console, one character a byte. */
  readonly onConsole?: (text: string) => void
}

export interface StormOptions {
  readonly seed: number
  readonly kinds: readonly StormKind[]
  readonly pace?: StormPace
}

export interface SessionOptions {
  readonly seed: number
  /** Frames of 4 KiB that the host has. */
  readonly frames: number
  readonly swapPages: number
  readonly policy?: Policy | undefined
  readonly pageTableLock: 'sleep' | 'spin'
  readonly srcu: 'tiny' | 'classic' | 'counted'
  /** See `KernelOptions.changePte`. Default `bracketed`. */
  readonly changePte?: 'bracketed' | 'unbracketed'
  readonly audit: AuditLevel
  /** What executes the guests. Default: the fastest. */
  readonly engine?: EngineName
  readonly guests: readonly GuestSpec[]
  readonly storm?: StormOptions | undefined
  readonly inject?: Injection | undefined
  /** Sees every event but single memory accesses. */
  readonly probe?: Probe | undefined
  /** Called between two bursts of the scheduler, outside every task. */
  readonly onTurn?: (() => void) | undefined
}

/** Where guest memory lies in its mm. */
const GUEST_HVA: Hva = hva(0x10_0000_0000)
const LEAST_STRIPE = 64 * KiB
const MOST_STRIPES = 64
/** Instructions that a hart runs in one go: so long a hook waits for it at most. */
const QUANTUM = 2000
const PACE: StormPace = { shortest: 10_000, longest: 200_000 }
/** Refused accesses in a row, without an instruction in between, after which a guest is given up. */
const MOST_REFUSALS = 1000

interface RunningGuest {
  readonly spec: GuestSpec
  readonly mm: Mm
  readonly machine: Machine
  readonly target: StormTarget
  result: MachineResult | null
}

const OUTCOMES: Readonly<Record<MachineCause, Outcome>> = {
  shutdown: 'finished',
  reset: 'finished',
  failure: 'failed',
  'fetch-fault': 'crashed',
  'trap-loop': 'crashed',
  halted: 'crashed',
  budget: 'budget',
  efault: 'crashed',
  enomem: 'memory',
  breakpoint: 'stopped',
  stopped: 'stopped',
  'host-error': 'crashed',
}

export class Session {
  readonly kernel: Kernel
  readonly figures: FigureCollector = new FigureCollector()
  private readonly options: SessionOptions
  private readonly auditor: Auditor
  private readonly guests: RunningGuest[] = []
  private readonly refused: Map<GuestSpec, KernelError> = new Map()
  private readonly counts: StormCount[] = []
  private stopping = false

  /** @throws KernelError EINVAL for options out of range */
  constructor(options: SessionOptions) {
    this.options = options
    const { seed, frames, swapPages, policy, pageTableLock, srcu, onTurn } = options
    this.kernel = new Kernel({
      seed,
      frames,
      swapPages,
      pageTableLock,
      srcu,
      changePte: options.changePte ?? 'bracketed',
      scratchBytes: engineBytes(
        options.guests.map(({ harts }) => harts),
        options.guests.map(({ memory }) => memory),
      ),
      ...(policy === undefined ? {} : { policy }),
      ...(onTurn === undefined ? {} : { onTurn }),
    })
    this.figures.attach(this.kernel.trace)
    if (options.probe !== undefined) this.kernel.trace.attach(options.probe)
    this.auditor = new Auditor(this.kernel.trace, new KernelWorld(this.kernel), {
      level: options.audit,
    })
    for (const kind of options.storm?.kinds ?? []) this.counts.push(new StormCount(kind.name))
  }

  /** Runs all guests to their ends. Called once. */
  async run(): Promise<RunReport> {
    let failure: unknown = null
    try {
      await this.kernel.run(() => this.main())
    } catch (error) {
      failure = error
    }
    return this.report(failure)
  }

  /** Ends the run at the next opportunity. Legal from outside every task. */
  stop(): void {
    if (this.stopping) return
    this.stopping = true
    for (const { machine } of this.guests) machine.stop()
  }

  /** How far the run is. Legal from outside every task. */
  progress(): RunProgress {
    const { kernel, figures, auditor } = this
    return {
      now: kernel.sched.now,
      guests: this.guests.map(({ spec, mm, machine, result }) => ({
        name: spec.name,
        state: result === null ? 'running' : OUTCOMES[result.cause],
        instructions: instructionsOf(machine),
        faults: figures.mm(mm.id).guestFaults,
        zaps: total(figures.mm(mm.id).zaps),
      })),
      framesFree: kernel.allocator.free,
      frames: this.options.frames,
      swapUsed: kernel.swap.used,
      storms: this.counts.reduce((all, count) => all + count.operations, 0),
      checks: checksMade({ level: 'all', checks: [...auditor.ledger.checks], violations: [] }),
      violations: auditor.violations.length,
    }
  }

  private async main(): Promise<void> {
    const { kernel } = this
    for (const spec of this.options.guests) await this.boot(spec)
    const storms = this.guests.flatMap((guest) => this.startStorms(guest))
    const tasks = this.guests.map((guest) => kernel.spawn(guest.spec.name, () => this.runGuest(guest)))
    for (const task of tasks) await kernel.sched.join(task)
    for (const storm of storms) await kernel.sched.join(storm)
    for (const { mm, machine } of this.guests) {
      await machine.destroy()
      await mm.exit()
    }
  }

  /** Boots a guest; one that cannot be booted is remembered with the reason. */
  private async boot(spec: GuestSpec): Promise<void> {
    let mm: Mm | null = null
    try {
      mm = await this.kernel.createMm(spec.name)
      this.guests.push(await this.bootIn(mm, spec))
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      this.refused.set(spec, error)
      await mm?.exit()
    }
  }

  private async bootIn(mm: Mm, spec: GuestSpec): Promise<RunningGuest> {
    const { kernel, options } = this
    const regions = await mapGuestMemory(mm, spec)
    const machine = await Machine.create(kernel, {
      name: spec.name,
      program: spec.program,
      harts: spec.harts,
      vm: { paging: spec.paging },
      bootargs: spec.bootargs,
      budget: spec.budget,
      quantum: QUANTUM,
      process: { mm, ram: { start: GUEST_HVA, length: spec.memory } },
      ...(spec.onConsole === undefined ? {} : { onConsole: spec.onConsole }),
      ...(options.engine === undefined ? {} : { engine: options.engine }),
      ...(options.inject === undefined ? {} : { vmClass: options.inject.vmClass }),
    })
    return { spec, mm, machine, target: new StormTarget(mm, regions), result: null }
  }

  private async runGuest(guest: RunningGuest): Promise<void> {
    const { machine, target } = guest
    let result = await machine.run()
    let refusals = 0
    let reached = 0
    while (result.cause === 'efault' && !this.stopping) {
      const instructions = sum(result.instructions)
      refusals = instructions === reached ? refusals + 1 : 0
      reached = instructions
      if (refusals === MOST_REFUSALS) break
      await target.whole()
      machine.resume()
      result = await machine.wait()
    }
    guest.result = result
    target.ended = true
  }

  private startStorms(guest: RunningGuest): Task[] {
    const { storm } = this.options
    if (storm === undefined) return []
    const seeds = new Random(storm.seed)
    return storm.kinds.map((kind, i) => {
      const name = `${kind.name}/${guest.spec.name}`
      const body = (): Promise<void> =>
        stormLoop(kind, guest.target, seeds.stream(name), storm.pace ?? PACE, this.counts[i]!)
      return this.kernel.spawn(name, body)
    })
  }

  private report(failure: unknown): RunReport {
    const { auditor, options, kernel } = this
    const violations = failure === null ? auditor.finish() : auditor.violations
    const other = failure !== null && violations.length === 0 ? violationOf(failure, auditor) : null
    const all = other === null ? violations : [other]
    return {
      seed: options.seed,
      frames: options.frames,
      swapPages: options.swapPages,
      time: kernel.sched.now,
      guests: options.guests.map((spec) => this.reportGuest(spec)),
      storms: this.counts.map(({ kind, operations, refused }): StormReport => ({ kind, operations, refused })),
      figures: this.figures,
      audit: { level: options.audit, checks: [...auditor.ledger.checks].toSorted(byInvariant), violations: all },
      schedule: encodeSchedule(kernel.sched.schedule),
      failure: all.length > 0 ? null : failure,
    }
  }
  private reportGuest(spec: GuestSpec): GuestReport {
    const { name, paging, harts, memory } = spec
    const facts = { name, paging, harts, memory }
    const guest = this.guests.find((running) => running.spec === spec)
    if (guest === undefined) {
      const error = this.refused.get(spec)
      const outcome = error === undefined ? 'stopped' : error.code === 'ENOMEM' ? 'memory' : 'crashed'
      const detail = `guest ${name}: ${error === undefined ? 'it was not started' : error.message}`
      return { ...facts, mm: 0, instructions: 0, outcome, detail }
    }
    const { mm, machine, result } = guest
    return {
      ...facts,
      mm: mm.id,
      instructions: instructionsOf(machine),
      outcome: result === null ? 'stopped' : OUTCOMES[result.cause],
      detail: result === null ? `guest ${name} was still running` : `guest ${result.message}`,
    }
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)

const instructionsOf = (machine: Machine): number => sum(machine.runs.map((run) => run.instructions))

const byInvariant = (a: readonly [string, number], b: readonly [string, number]): number =>
  Number(a[0].slice(1)) - Number(b[0].slice(1))

/** Maps guest memory in stripes (R1). */
async function mapGuestMemory(mm: Mm, spec: GuestSpec): Promise<StormRegion[]> {
  const file = mm.kernel.createFile({ name: `${spec.name}.ram`, size: spec.memory })
  const regions: StormRegion[] = []
  const stripe = Math.ceil(spec.memory / MOST_STRIPES / LEAST_STRIPE) * LEAST_STRIPE
  for (let offset = 0; offset < spec.memory; offset += stripe) {
    const shared = (offset / stripe) % 2 === 1
    const addr = GUEST_HVA + offset
    const length = Math.min(stripe, spec.memory - offset)
    const backing = shared ? { shared, file, offset } : {}
    await mm.mmap({ addr, length, fixed: true, prot: 'rwx', ...backing })
    regions.push({ start: addr, length, file: shared ? file : null, offset })
  }
  await file.put()
  return regions
}
