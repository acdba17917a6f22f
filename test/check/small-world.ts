/** A small real world with the auditor on everything, for tests that collect its violations. */
import type { Invariant } from '../../src/base/index.ts'
import { Auditor, FIRST_GFN, KernelWorld, buildWorld, takeDown, violationOf } from '../../src/check/index.ts'
import type { AuditorOptions, Violation, World, WorldOptions, WorldParts } from '../../src/check/index.ts'
import { createKernel } from '../../src/check/world.ts'

export { guestLoad, guestStore } from '../../src/check/index.ts'

export const GFN: number = FIRST_GFN

export interface SmallWorld extends World {
  readonly auditor: Auditor
}

export interface SmallWorldOptions extends WorldOptions {
  readonly auditor?: AuditorOptions
  readonly parts?: WorldParts
}

/** What a run came to: the violations, and how often each invariant was judged. */
export interface Verdict {
  readonly violations: readonly Violation[]
  readonly checks: ReadonlyMap<Invariant, number>
}

/** Runs `body` in a new world, takes the world down, and returns the auditor's verdict. */
export async function inSmallWorld(
  options: SmallWorldOptions,
  body: (world: SmallWorld) => Promise<void>,
): Promise<Verdict> {
  const kernel = createKernel(options, options.parts)
  const auditor = new Auditor(kernel.trace, new KernelWorld(kernel), { sweepEvery: 200, ...options.auditor })
  try {
    await kernel.run(async () => {
      const world = await buildWorld(kernel, options, options.parts)
      await body({ ...world, auditor })
      await takeDown(world)
    })
  } catch (failure) {
    const violation = violationOf(failure)
    if (violation === null) throw failure
    if (!auditor.violations.includes(violation)) auditor.violations.push(violation)
    return { violations: auditor.violations, checks: auditor.ledger.checks }
  }
  return { violations: auditor.finish(), checks: auditor.ledger.checks }
}
