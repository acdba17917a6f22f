/**
 * A loader hook that lowers rooms and named files as they are loaded, and puts the frames' seam in the scheduler's place.
 *
 * R1 A file that cannot be lowered fails to load, with its position: nothing runs half lowered.
 */
import { readFileSync } from 'node:fs'
import { register } from 'node:module'
import type { LoadHook, ResolveHook } from 'node:module'
import { fileURLToPath } from 'node:url'
// Not through the room's index: the loader's thread needs the pass alone.
import { lower } from '../check/lower/lower.ts'

const build = new URL('../', import.meta.url).href
const rooms = ['sched', 'notifier', 'host', 'mmu'].map((room) => `${build}${room}/`)
const nativeSeam = `${build}sched/park.js`
const framesSeam = `${build}check/frames/park.js`
const runtime = `${build}check/frames/runtime.js`

export interface LoweringOptions {
  /** Addresses of further files to lower: scenarios, clients, worlds. */
  readonly files: readonly string[]
}

const files = new Set<string>()

/** Lowers everything that this process loads from now on. */
export function registerLowering(options: LoweringOptions): void {
  register(import.meta.url, { data: options })
}

export function initialize(options: LoweringOptions): void {
  for (const file of options.files) files.add(file)
}

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  const found = await nextResolve(specifier, context)
  return found.url === nativeSeam ? { ...found, url: framesSeam } : found
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const isLowered = files.has(url) || rooms.some((room) => url.startsWith(room))
  if (!isLowered || !url.endsWith('.js')) return nextLoad(url, context)
  const path = fileURLToPath(url)
  return { format: 'module', source: lower(readFileSync(path, 'utf8'), path, runtime).code, shortCircuit: true }
}
