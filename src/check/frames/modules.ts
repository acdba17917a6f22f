/**
 * The tables of the lowered modules that this process has loaded, and what they say about fields.
 *
 * R1 A field counts by its name alone; one that is written by a computed name is checked when it is written.
 */
import type { ClosureSite } from '../lower/captures.ts'
import type { Site } from '../lower/machine.ts'

/** The lowered text of one module. */
export interface LoweredModule {
  readonly file: string
  readonly sites: readonly Site[]
  readonly closures: readonly ClosureSite[]
  /** Names of the fields that it writes after construction. */
  readonly written: readonly string[]
}

/** The lowered modules that this process has loaded. */
const modules: LoweredModule[] = []

/** Fields that the lowered form and the iterators of cursors.ts write themselves. */
const OWN_FIELDS = ['v', 'at']

/** Names of the fields that some lowered module writes after construction; all others are constant. */
export function writtenFields(): ReadonlySet<string> {
  return new Set([...OWN_FIELDS, ...modules.flatMap(({ written }) => written)])
}

/** For lowered modules: their tables. */
export function $module(
  file: string,
  sites: readonly Site[],
  closures: readonly ClosureSite[],
  written: readonly string[],
): LoweredModule {
  const module = { file, sites, closures, written }
  modules.push(module)
  return module
}

/**
 * For lowered modules: what may be written by computed names, since snapshots hold it whole or not at all.
 * @param column from 0
 */
export function $array<T extends object>(module: LoweredModule, line: number, column: number, values: T): T {
  if (Array.isArray(values) || ArrayBuffer.isView(values)) return values
  const maker = values.constructor as { readonly name?: string; readonly opaque?: boolean } | undefined
  if (maker?.opaque === true) return values
  const whose = maker?.name ?? 'an object'
  throw new Error(
    `a field of ${whose} is written by a computed name, which snapshots cannot see, at ${module.file}:${line}:${column + 1}`,
  )
}
