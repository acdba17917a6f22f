/**
 * One run of a bench guest in a process of its own: `engine-run.js ENGINE FILE BOOTARGS [PAGING [THRESHOLD]]` prints one line
 * of JSON.
 *
 * R1 CPU time is of all threads, so that the JavaScript engine's compilers count, from before the machine is made.
 * R2 What is timed within the run is the lesser of CPU time, which other threads add to, and of the clock, which other
 *    processes do.
 */
import { readFileSync } from 'node:fs'
import { MiB } from '../src/base/index.ts'
import { Machine } from '../src/guest/index.ts'
import type { CodeCache } from '../src/guest/index.ts'
import { Kernel } from '../src/host/index.ts'
import { engineNamed } from './engine-choice.ts'

export interface EngineRun {
  readonly seconds: number
  readonly console: string
  readonly cause: string
  readonly instructions: number
  /** Bytes, at the end; of them, modules of units that are kept. */
  readonly resident: number
  readonly codeBytes: number
  /** Milliseconds until the engine could run its first instruction. */
  readonly startUp: number
  readonly translation: Translation
}

/** Milliseconds of batches of units, in all, and of the longest with its parts. */
export interface Translation {
  batches: number
  units: number
  instructions: number
  total: number
  longest: number
  /** Of the longest: finding its units, writing its bytes, and the rest, which is the JavaScript engine's. */
  discover: number
  write: number
  compile: number
}

const MEMORY = 64 * MiB
const [name = '', file = '', bootargs = '', paging = 'two-dimensional', threshold] = process.argv.slice(2)
const program = readFileSync(file)
const before = process.cpuUsage()
const kernel = new Kernel({ frames: MEMORY / 4096 + 2048 })
await kernel.run(async () => {
  const machine = await Machine.create(kernel, {
    name: 'bench',
    program,
    memory: MEMORY,
    bootargs,
    budget: 1e12,
    vm: { paging: paging === 'shadow' ? 'shadow' : 'two-dimensional' },
    engine: 'reference',
    // As QEMU does for its guests.
    hugePages: true,
    ...(threshold === undefined ? {} : { threshold: Number(threshold) }),
  })
  const startTimer = timer()
  machine.setEngine(engineNamed(name))
  const cache = kernel.memory.scratch.shared.get('translator') as CodeCache | undefined
  cache?.interpreter()
  const startUp = startTimer()
  const translation = timeTranslation(cache)
  const result = await machine.run()
  const { user, system } = process.cpuUsage(before)
  globalThis.gc?.()
  const run: EngineRun = {
    seconds: (user + system) / 1e6,
    console: result.console.trim(),
    cause: result.cause,
    instructions: result.instructions.reduce((sum, count) => sum + count, 0),
    resident: process.memoryUsage().rss,
    codeBytes: cache?.bytes ?? 0,
    startUp,
    translation,
  }
  console.log(JSON.stringify(run))
  if (process.env['UMBRA_STATS'] !== undefined) console.error(kernel.memory.scratch.shared.get('translator'))
  await machine.destroy()
})

/** @returns a function that answers the milliseconds since now */
function timer(): () => number {
  const [clock, cpu] = [performance.now(), process.cpuUsage()]
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    return Math.min(performance.now() - clock, (user + system) / 1000)
  }
}

type Method = (...values: unknown[]) => unknown

/** From now on calls of a method are timed. */
function timed(object: unknown, method: string, count: (milliseconds: number) => void): void {
  const methods = object as Record<string, Method>
  const original = methods[method]!.bind(object)
  methods[method] = (...values) => {
    const elapsed = timer()
    const result = original(...values)
    count(elapsed())
    return result
  }
}

/** From now on what a code cache does for its batches is timed. */
function timeTranslation(cache: CodeCache | undefined): Translation {
  const all: Translation = {
    batches: 0,
    units: 0,
    instructions: 0,
    total: 0,
    longest: 0,
    discover: 0,
    write: 0,
    compile: 0,
  }
  if (cache === undefined) return all
  let [discover, write] = [0, 0]
  timed((cache as unknown as { readonly choice: object }).choice, 'around', (time) => (discover += time))
  timed(cache, 'write', (time) => (write += time))
  timed(cache, 'translateBatch', (time) => {
    all.batches++
    all.total += time
    if (time > all.longest) Object.assign(all, { longest: time, discover, write, compile: time - discover - write })
    discover = 0
    write = 0
    all.units = cache.stats.units
    all.instructions = cache.stats.instructions
  })
  return all
}
