/**
 * A process of its own that runs stress worlds on lowered rooms: `lowered-traces.js FIRST COUNT` prints one digest a
 * seed; with `whole` as a third word it prints the lines themselves.
 */
import { createHash } from 'node:crypto'
import { Frame } from '../../../src/check/frames/runtime.ts'
import { registerLowering } from '../../../src/cli/lower-hook.ts'

const [first, count, whole] = process.argv.slice(2)
const names = ['./event-trace.js', '../stress-world.js', '../small-world.js', '../../../src/check/world.js']
registerLowering({ files: names.map((name) => new URL(name, import.meta.url).href) })
const { eventTrace } = await import('./event-trace.ts')

for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  const run = eventTrace(seed)
  if (!((run as unknown) instanceof Frame)) throw new Error('the world was not lowered')
  const lines = await run
  const text = lines.join('\n')
  process.stdout.write(whole === 'whole' ? text : `${createHash('sha256').update(text).digest('hex')}\n`)
}
