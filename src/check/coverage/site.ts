/**
 * Where in the source a switch point was reached: the call of `point`, of a lock or of a wait.
 *
 * R1 A site is a place in the built code, the same on every machine: `src/mmu/vcpu.js:120:30`. Whoever has the source
 *    maps can say the line of TypeScript. Where the runtime maps stacks itself it is that line already.
 */

/** Frames of the scheduler's room and of this one are not what is looked for. */
const OWN = /\/src\/(?:sched|check\/coverage)\//
const FRAME = /\(?([^\s()]+):(\d+):(\d+)\)?$/
/** What precedes the repository's own folders. */
const ROOT = /^.*\/(?=(?:src|test|examples|bench)\/)/

/** Reads sites off stacks, each different stack once. */
export class Sites {
  private readonly byStack = new Map<string, string>()

  /** The caller's site; to be called from within the call whose place is asked for. */
  here(): string {
    const stack = new Error().stack ?? ''
    let site = this.byStack.get(stack)
    if (site === undefined) this.byStack.set(stack, (site = siteOf(stack)))
    return site
  }
}

function siteOf(stack: string): string {
  for (const line of stack.split('\n').slice(1)) {
    const frame = FRAME.exec(line)
    if (frame === null || OWN.test(frame[1]!)) continue
    return `${frame[1]!.replace(ROOT, '')}:${frame[2]}:${frame[3]}`
  }
  return 'unknown'
}
