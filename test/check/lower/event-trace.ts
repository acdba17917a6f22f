/** Everything that a run emits, as lines: what the native and the lowered build must have in common. */
import { stressWorld } from '../stress-world.ts'

/** The events of a stress world with who emitted them when, and the verdict at the end. */
export async function eventTrace(seed: number): Promise<readonly string[]> {
  const lines: string[] = []
  const { violations } = await stressWorld(seed, (kernel) => {
    kernel.trace.attach((event, stamp) => void lines.push(lineOf({ ...stamp, ...event })), { accesses: true })
  })
  for (const one of violations) lines.push(`${one.invariant}: ${one.what} (${one.task})`)
  lines.push(`${violations.length} violations`)
  return lines
}

function lineOf(values: object): string {
  return JSON.stringify(values, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))
}
