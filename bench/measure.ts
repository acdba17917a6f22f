/**
 * Measuring: interleaved rounds, so that what is compared is measured under the same load of the machine.
 *
 * R1 A body does many operations a call, so that the clock and the await around it cost nothing worth counting.
 * R2 Of each round the median counts, and of the rounds the lowest; of single calls the fastest fifth. What disturbs a
 *    measurement only ever adds to it.
 */
import { measure } from 'mitata'

export interface Case {
  readonly name: string
  /** Operations that one call of `run` does. */
  readonly operations: number
  readonly run: () => unknown
}

/** Nanoseconds an operation, by the name of the case. */
export type Figures = ReadonlyMap<string, number>

const ROUNDS = 5
/** Real nanoseconds of samples a case and round. */
const ROUND_TIME = 40e6

/** Measures all cases in turn, several times over. */
export async function compare(cases: readonly Case[], rounds: number = ROUNDS): Promise<Figures> {
  const best = new Map<string, number>()
  for (let round = 0; round < rounds; round++) {
    for (const { name, operations, run } of cases) {
      const stats = await measure(run, {
        min_cpu_time: ROUND_TIME,
        min_samples: 8,
        batch_threshold: 0,
        inner_gc: false,
      })
      best.set(name, Math.min(best.get(name) ?? Infinity, stats.p50 / operations))
    }
  }
  return best
}

/** The figure of a case that was measured. */
export function figure(figures: Figures, name: string): number {
  const value = figures.get(name)
  if (value === undefined) throw new Error(`no case is named ${name}`)
  return value
}

/** A call that is too big, or too destructive, to be repeated within one sample. */
export interface Call {
  /** Brings about the state that `run` consumes; not timed. */
  readonly prepare: () => unknown
  readonly run: () => unknown
}

/** Share of the calls that is taken to be undisturbed: the slowest of these counts. */
const QUIET = 0.2

/**
 * Times single calls, in turn.
 * @returns nanoseconds of an undisturbed call, in the order of `calls`
 */
export async function quietCalls(times: number, calls: readonly Call[]): Promise<number[]> {
  const samples = calls.map((): number[] => [])
  for (let i = 0; i < times; i++) {
    for (const [index, { prepare, run }] of calls.entries()) {
      await prepare()
      const began = process.hrtime.bigint()
      await run()
      samples[index]!.push(Number(process.hrtime.bigint() - began))
    }
  }
  return samples.map((each) => each.toSorted((a, b) => a - b)[Math.floor(each.length * QUIET)]!)
}

/**
 * Bytes that one of many equal objects takes: on the heap, and in array buffers outside it.
 * @param make makes the object with this number; what it returns is kept alive until the measurement is over
 */
export async function bytesEach(
  count: number,
  make: (index: number) => unknown,
): Promise<{ heap: number; buffers: number }> {
  const kept: unknown[] = Array.from({ length: count }, () => null)
  const before = settledMemory()
  for (let i = 0; i < count; i++) kept[i] = await make(i)
  const after = settledMemory()
  if (kept.length !== count) throw new Error('unreachable')
  return { heap: (after.heap - before.heap) / count, buffers: (after.buffers - before.buffers) / count }
}

function settledMemory(): { heap: number; buffers: number } {
  if (globalThis.gc === undefined) throw new Error('memory is measured under node --expose-gc')
  for (let i = 0; i < 4; i++) globalThis.gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return { heap: heapUsed, buffers: arrayBuffers }
}
