/**
 * A loader hook for a second build of the same modules in one process: an address that ends in `?lowered` loads the
 * lowered form of a module, and everything that it imports with it.
 *
 * Positions in reports are those of the TypeScript source when the map that tsc writes lies beside the file.
 *
 * R1 A file that cannot be lowered fails to load, with its position: nothing runs half lowered.
 * R2 Loops of files outside of Umbra are counted, in every build.
 * R3 Lowered: the rooms below `guest`, the scenarios, the audits, whose state is part of a proof's, and every file outside
 *    of Umbra and of packages. The rest of Umbra watches a run, or has no part in it.
 */
import { readFileSync } from 'node:fs'
import { register } from 'node:module'
import type { LoadHook, ResolveHook } from 'node:module'
import { fileURLToPath } from 'node:url'
import { LowerCache } from './lower-cache.ts'
import { mapTextOf, sourceOf } from './source-positions.ts'

const build = new URL('../', import.meta.url).href
const rooms = ['base/', 'sched/', 'hardware/', 'notifier/', 'host/', 'mmu/']
const parts = ['check/scenario.js', 'check/world.js', 'check/scenarios/', 'check/museum/', 'check/kernel-world.js']
const audits = [
  'auditor',
  'protocol',
  'translations',
  'spte-mirror',
  'aging',
  'bookkeeping',
  'golden-memory',
  'open-choices',
].map((audit) => `check/${audit}.js`)
const lowered = [...rooms, ...parts, ...audits].map((path) => build + path)
const nativeSeam = `${build}sched/park.js`
const framesSeam = `${build}check/frames/park.js`
const runtime = `${build}check/frames/runtime.js`
const tracker = `${build}check/frames/touched.js`
const MARK = '?lowered'
/** Lowered, and telling what it touches. */
const WATCHED_MARK = '?watched'
/** Native, with loops that end. */
const COUNTED_MARK = '?counted'
const MARKED = /\?(?:lowered|watched|counted)$/
const errors = `${build}base/index.js`

let cache: LowerCache | null = null

let isRegistered = false

/** Lets this thread load lowered modules. */
export function registerLowering(): void {
  if (!isRegistered) register(import.meta.url)
  isRegistered = true
}

/**
 * The lowered form of a module, after `registerLowering`.
 * @param url of the file
 * @throws an error whose message begins with file, line and column, when it cannot be lowered
 */
export function importLowered(url: string): Promise<unknown> {
  return import(url + MARK)
}

/** As `importLowered`, in a build whose steps can be told by what they touch: for an audit of the search over states. */
export function importWatched(url: string): Promise<unknown> {
  return import(url + WATCHED_MARK)
}

/** A module of the user's own in the native build: a loop in it that goes round for ever becomes an error. */
export function importCounted(url: string): Promise<unknown> {
  return import(url + COUNTED_MARK)
}

/** Is a file of Umbra lowered, when it is asked for? */
export function isLowered(url: string): boolean {
  return !url.startsWith(build) || lowered.some((path) => url.startsWith(path))
}

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  const found = await nextResolve(specifier, context)
  const mark = MARKED.exec(context.parentURL ?? '')?.[0]
  if (mark === undefined) return found
  // A build has one form of each file, whoever asks for it.
  const url = found.url.replace(MARKED, '')
  const isOfUmbra = url.startsWith(build)
  const isOfPackage = url.includes('/node_modules/') && !isOfUmbra
  if (!/^file:.*\.m?js$/.test(url) || isOfPackage || (isOfUmbra && mark === COUNTED_MARK)) return found
  return { ...found, url: (url === nativeSeam ? framesSeam : url) + mark }
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const mark = MARKED.exec(url)?.[0]
  if (mark === undefined) return nextLoad(url, context)
  const address = url.slice(0, -mark.length)
  if (!isLowered(address)) return nextLoad(url, context)
  const path = fileURLToPath(address)
  const text = readFileSync(path, 'utf8')
  const map = mapTextOf(path)
  const isOwn = !address.startsWith(build)
  cache ??= new LowerCache()
  const source = await cache.get([mark, path, process.cwd(), map, text], async () => {
    const { file, locate } = sourceOf(path, map)
    // Not through the room's index: the loader's thread needs the pass alone, and only for what changed.
    const { countTurns } = await import('../check/lower/loops.ts')
    if (mark === COUNTED_MARK) return countTurns(text, file, errors, null, locate)
    const { lower } = await import('../check/lower/lower.ts')
    const own = text.replace(/^\/\/# sourceMappingURL=.*$/m, '')
    const code = isOwn ? countTurns(own, file, errors, runtime, locate) : own
    if (mark === MARK) return lower(code, file, runtime, locate).code
    const { watch } = await import('../check/lower/watch.ts')
    return lower(watch(code, file, tracker), file, runtime).code
  })
  return { format: 'module', source, shortCircuit: true }
}
