/**
 * Guest time: one `time` for all harts of a machine, made from the kernel's virtual clock, and a timer for each hart.
 *
 * R1 Inside a quantum time goes on with each retired instruction; at its end the kernel's clock catches up.
 * R2 A timer is due when `time` has reached its value; a new value takes an interrupt that is pending away.
 */
import type { Scheduler } from '../../sched/index.ts'
import type { HartClock } from '../hart/index.ts'

const NS_PER_SECOND = 1_000_000_000

export class MachineTime {
  /** Ticks of `time` a second. Immutable. */
  readonly timebase: number
  /** Virtual nanoseconds that an instruction takes. Immutable. */
  readonly nsPerInstruction: number
  private readonly sched: Scheduler
  private readonly epoch: number

  constructor(sched: Scheduler, timebase: number, nsPerInstruction: number) {
    this.sched = sched
    this.timebase = timebase
    this.nsPerInstruction = nsPerInstruction
    this.epoch = sched.now
  }

  /** Virtual nanoseconds since the machine was made. */
  get now(): number {
    return this.sched.now - this.epoch
  }

  /** `time` at that many nanoseconds. */
  ticks(nanoseconds: number): bigint {
    return BigInt(Math.floor((nanoseconds * this.timebase) / NS_PER_SECOND))
  }

  /** First nanosecond at which `time` has the value; Infinity for one that no machine lives to see. */
  nanoseconds(ticks: bigint): number {
    const seconds = Number(ticks) / this.timebase
    if (seconds * NS_PER_SECOND > Number.MAX_SAFE_INTEGER) return Infinity
    let at = Math.ceil((Number(ticks) * NS_PER_SECOND) / this.timebase)
    while (this.ticks(at) < ticks) at++
    return at
  }
}

/** Time and timer of one hart. */
export class HartTimer implements HartClock {
  /** When the interrupt becomes pending, in nanoseconds of the machine; Infinity is never. */
  deadline: number = Infinity
  private readonly clock: MachineTime
  private quantumStart = 0
  private instretStart = 0

  constructor(clock: MachineTime) {
    this.clock = clock
  }

  /** A quantum begins: `time` is counted on from here. */
  beginQuantum(instret: number): void {
    this.quantumStart = this.clock.now
    this.instretStart = instret
  }

  time(instret: number): bigint {
    return this.clock.ticks(this.quantumStart + (instret - this.instretStart) * this.clock.nsPerInstruction)
  }

  /** SBI set_timer, and stimecmp. */
  setCompare(ticks: bigint): void {
    this.deadline = this.clock.nanoseconds(ticks)
  }

  /** True once the deadline has passed. */
  get due(): boolean {
    return this.clock.now >= this.deadline
  }

  /** Instructions until the deadline, at least 1. */
  get instructionsLeft(): number {
    return Math.max(1, Math.ceil((this.deadline - this.clock.now) / this.clock.nsPerInstruction))
  }
}
