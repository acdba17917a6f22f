/**
 * A loader hook that lowers rooms and named files as they are loaded, and puts the frames' seam in the scheduler's place.
 *
 * Positions in reports are those of the TypeScript source when the map that tsc writes lies beside the file.
 *
 * R1 A file that cannot be lowered fails to load, with its position: nothing runs half lowered.
 */
import { existsSync, readFileSync } from 'node:fs'
import { SourceMap, register } from 'node:module'
import type { LoadHook, ResolveHook, SourceMapPayload } from 'node:module'
import { dirname, relative, resolve as resolvePath } from 'node:path'
import { fileURLToPath } from 'node:url'
// Not through the room's index: the loader's thread needs the pass alone.
import { lower } from '../check/lower/lower.ts'
import type { Locate } from '../check/lower/lower.ts'

const build = new URL('../', import.meta.url).href
const packageRoot = fileURLToPath(new URL('../', build))
const rooms = ['base', 'sched', 'hardware', 'notifier', 'host', 'mmu'].map((room) => `${build}${room}/`)
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
  const { file, locate } = sourceOf(path)
  const text = readFileSync(path, 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, '')
  return { format: 'module', source: lower(text, file, runtime, locate).code, shortCircuit: true }
}

/** The source that a file was made from, as reports name it. */
function sourceOf(path: string): { readonly file: string; readonly locate: Locate } {
  if (!existsSync(`${path}.map`)) return { file: shortName(path), locate: () => null }
  const payload = JSON.parse(readFileSync(`${path}.map`, 'utf8')) as SourceMapPayload
  const map = new SourceMap(payload)
  return {
    file: shortName(resolvePath(dirname(path), payload.sourceRoot ?? '', payload.sources[0] ?? path)),
    locate(line, column) {
      const found = map.findEntry(line - 1, column)
      return 'originalLine' in found ? { line: found.originalLine + 1, column: found.originalColumn } : null
    },
  }
}

/** Relative to Umbra for its own files, else to the working directory for what is in it. */
function shortName(path: string): string {
  for (const root of [packageRoot, `${process.cwd()}/`]) if (path.startsWith(root)) return relative(root, path)
  return path
}
