/**
 * When a search ends before its end: time, memory, Ctrl-C, or nobody reads any more.
 *
 * R1 A second Ctrl-C ends the process.
 * R2 The words are shared with workers: whoever sees a reason to stop, all stop.
 */
import { getHeapStatistics } from 'node:v8'
import type { Output } from './output.ts'

const WORDS = { stop: 0, schedules: 1, overMemory: 2, states: 3 } as const
/** Questions between two looks at the heap. */
const HEAP_CHECK = 16
const MIB = 2 ** 20

/** What all threads of a search share. */
export class SharedWords {
  readonly buffer: SharedArrayBuffer
  /** MiB of heap that one thread may use, or Infinity. */
  readonly memory: number
  private readonly words: Int32Array
  private untilCheck = HEAP_CHECK

  constructor(memory: number, buffer: SharedArrayBuffer = new SharedArrayBuffer(4 * Object.keys(WORDS).length)) {
    this.memory = memory
    this.buffer = buffer
    this.words = new Int32Array(buffer)
  }

  get schedules(): number {
    return Atomics.load(this.words, WORDS.schedules)
  }

  get isOverMemory(): boolean {
    return Atomics.load(this.words, WORDS.overMemory) !== 0
  }

  ran(): void {
    Atomics.add(this.words, WORDS.schedules, 1)
  }

  /** States that were seen by proofs, those of proofs that still run among them. */
  get states(): number {
    return Atomics.load(this.words, WORDS.states)
  }

  saw(states: number): void {
    Atomics.add(this.words, WORDS.states, states)
  }

  stop(): void {
    Atomics.store(this.words, WORDS.stop, 1)
  }

  /** Should this thread stop? Looks at its heap now and then. */
  isStopped(): boolean {
    if (this.memory !== Infinity && --this.untilCheck <= 0) {
      this.untilCheck = HEAP_CHECK
      if (getHeapStatistics().used_heap_size > this.memory * MIB) {
        Atomics.store(this.words, WORDS.overMemory, 1)
        this.stop()
      }
    }
    return Atomics.load(this.words, WORDS.stop) !== 0
  }
}

/** The budget of a search, while it runs. */
export class Budget {
  readonly shared: SharedWords
  private readonly output: Output
  private readonly ends: number
  private interrupts = 0
  private isTimeOver = false
  private readonly onInterrupt = (): void => {
    if (++this.interrupts > 1) process.exit(130)
    this.shared.stop()
  }

  /** @param time seconds, @param memory MiB of heap in each thread; undefined: no limit */
  constructor(output: Output, time: number | undefined, memory: number | undefined) {
    this.output = output
    this.shared = new SharedWords(memory ?? Infinity)
    this.ends = time === undefined ? Infinity : performance.now() + time * 1000
  }

  /** Runs a body that Ctrl-C ends. */
  async during(body: () => Promise<void>): Promise<void> {
    const timer = setInterval(() => this.isOver(), 50)
    process.on('SIGINT', this.onInterrupt)
    process.on('SIGTERM', this.onInterrupt)
    try {
      await body()
    } finally {
      process.off('SIGINT', this.onInterrupt)
      process.off('SIGTERM', this.onInterrupt)
      clearInterval(timer)
    }
  }

  isOver(): boolean {
    if (performance.now() >= this.ends) this.isTimeOver = true
    if (this.isTimeOver || this.output.closed) this.shared.stop()
    return this.shared.isStopped()
  }

  /** Why the search ended early, in words; null when it did not. */
  reason(): string | null {
    if (this.interrupts > 0) return 'interrupted'
    if (this.shared.isOverMemory) return 'memory is used up'
    return this.isTimeOver ? 'time is over' : null
  }
}

/** Adds what proofs report, one after the other, in one thread. */
export class StateCount {
  private readonly shared: SharedWords
  private before = 0

  constructor(shared: SharedWords) {
    this.shared = shared
  }

  /** @param states so far, of the present search */
  saw(states: number): void {
    // Fewer: another search has begun.
    this.shared.saw(states < this.before ? states : states - this.before)
    this.before = states
  }
}
