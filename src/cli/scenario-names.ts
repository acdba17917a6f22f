/**
 * Scenarios as operands name them: a shipped one, a museum exhibit with its bug, one of a file of the user's own.
 *
 * R1 A name stands for itself: another thread or machine finds the same scenario by it.
 */
import { pathToFileURL } from 'node:url'
import * as native from '../check/index.ts'
import type { Scenario } from '../check/index.ts'
import { importCounted, importLowered, registerLowering } from './lower-hook.ts'
import { UsageError, didYouMean } from './options.ts'

const { scenarios } = native
const NAMES = scenarios.map(({ name }) => name)
const EXHIBIT = 'exhibit:'
/** `path/to/file.js`, or one scenario of it as `path/to/file.js#name`. */
const FILE = /^(?<file>.*\.[cm]?[jt]s)(?:#(?<name>.*))?$/

const unknown = (name: string): UsageError =>
  new UsageError(`no scenario is named '${name}'`, didYouMean(name, NAMES) ?? 'umbra check --list shows all')

const isScenario = (value: unknown): value is Scenario =>
  typeof value === 'object' && value !== null && 'run' in value && 'invariants' in value && 'tasks' in value

/** The file that a name mentions, as it was typed; undefined for what Umbra ships. */
export const fileOf = (name: string): string | undefined => FILE.exec(name)?.groups?.['file']

/** One of the two builds of the same code. */
interface Build {
  readonly check: Pick<typeof native, 'exhibits' | 'scenarios' | 'withBug'>
  readonly load: (url: string) => Promise<unknown>
}

const NATIVE: Build = {
  check: native,
  load: (url) => {
    registerLowering()
    return importCounted(url)
  },
}

/** The room `check` of the lowered build. */
export async function loweredCheck(): Promise<typeof native> {
  registerLowering()
  return (await importLowered(new URL('../check/index.js', import.meta.url).href)) as typeof native
}

/** Everything that a module exports and that is a scenario, or a list of such. @throws UsageError */
async function scenariosOfFile(file: string, build: Build): Promise<Scenario[]> {
  let module: Record<string, unknown>
  try {
    module = (await build.load(pathToFileURL(file).href)) as Record<string, unknown>
  } catch (error) {
    throw new UsageError(
      `cannot load scenarios from '${file}': ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  const found = Object.values(module).flat().filter(isScenario)
  if (found.length === 0) throw new UsageError(`'${file}' exports no scenario`, 'make one with defineScenario')
  return found.map((scenario) => ({ ...scenario, name: `${file}#${scenario.name}` }))
}

/** All that an operand may mean by its beginning. */
async function candidates(operand: string, build: Build = NATIVE): Promise<readonly Scenario[]> {
  const file = fileOf(operand)
  if (file !== undefined) return scenariosOfFile(file, build)
  const { check } = build
  if (!operand.startsWith(EXHIBIT)) return check.scenarios
  return check.exhibits.map((exhibit) => ({ ...check.withBug(exhibit), name: `${EXHIBIT}${exhibit.name}` }))
}

/** The scenario of exactly this name. @throws UsageError */
export async function scenarioNamed(name: string): Promise<Scenario> {
  const found = (await candidates(name)).find((scenario) => scenario.name === name)
  if (found === undefined) throw unknown(name)
  return found
}

/** The first shipped scenario or exhibit whose name fits, or null. */
export async function scenarioThat(fits: (name: string) => boolean): Promise<string | null> {
  const all = [...scenarios, ...(await candidates(EXHIBIT))]
  return all.find(({ name }) => fits(name))?.name ?? null
}

/**
 * The same scenario in the lowered build, where each task's calls and locals can be seen.
 * @throws UsageError with file, line and column, when its file cannot be lowered
 */
export async function loweredScenario(name: string): Promise<Scenario> {
  return (await candidates(name, { check: await loweredCheck(), load: importLowered })).find(
    (scenario) => scenario.name === name,
  )!
}

/** The scenarios of the names, or of their beginnings; without names, those that Umbra ships. @throws UsageError */
export async function chosen(names: readonly string[]): Promise<readonly Scenario[]> {
  if (names.length === 0) return scenarios
  const found = new Map<string, Scenario>()
  for (const name of names) {
    const all = await candidates(name)
    const exact = all.filter((scenario) => scenario.name === name)
    const begun = exact.length > 0 ? exact : all.filter((scenario) => scenario.name.startsWith(name))
    if (begun.length === 0) throw unknown(name)
    for (const scenario of begun) found.set(scenario.name, scenario)
  }
  return [...found.values()]
}
