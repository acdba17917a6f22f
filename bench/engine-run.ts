/**
 * One run of a bench guest in a process of its own: `engine-run.js ENGINE FILE BOOTARGS [PAGING]` prints one line of JSON.
 *
 * R1 CPU time is of all threads, so that the JavaScript engine's compilers count, from before the machine is made.
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
  /** Bytes. */
  readonly resident: number
  /** Milliseconds until the engine could run its first instruction; of the longest call that translated. */
  readonly startUp: number
  readonly longestTranslation: number
}

const MEMORY = 64 * MiB
const [name = '', file = '', bootargs = '', paging = 'two-dimensional'] = process.argv.slice(2)
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
  })
  const start = performance.now()
  machine.setEngine(engineNamed(name))
  const cache = kernel.memory.scratch.shared.get('translator') as CodeCache | undefined
  cache?.interpreter()
  const startUp = performance.now() - start
  let longestTranslation = 0
  if (cache !== undefined) {
    const translate = cache.translate.bind(cache)
    cache.translate = (hosts) => {
      const from = performance.now()
      const units = translate(hosts)
      longestTranslation = Math.max(longestTranslation, performance.now() - from)
      return units
    }
  }
  const result = await machine.run()
  const { user, system } = process.cpuUsage(before)
  const run: EngineRun = {
    seconds: (user + system) / 1e6,
    console: result.console.trim(),
    cause: result.cause,
    instructions: result.instructions.reduce((sum, count) => sum + count, 0),
    resident: process.memoryUsage().rss,
    startUp,
    longestTranslation,
  }
  console.log(JSON.stringify(run))
  if (process.env['UMBRA_STATS'] !== undefined) console.error(kernel.memory.scratch.shared.get('translator'))
  await machine.destroy()
})
