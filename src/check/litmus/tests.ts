/**
 * The SRCU tests of the public litmus collection (github.com/paulmckrcu/litmus, manual/kernel and auto), by name.
 *
 * A section does not order its own accesses. Where the collection relies on that, the accesses stand here in the order
 * that lets a machine without weak memory reach the outcome, if any can.
 */
import { RCU, parseStep } from './program.ts'
import type { Outcome, Process } from './program.ts'

export interface Litmus {
  readonly name: string
  /** What the memory model of Linux says of the outcome. */
  readonly linux: 'Never' | 'Sometimes'
  /** Linux allows the outcome, and it takes weak memory: a sequentially consistent machine never shows it. */
  readonly needsWeakMemory: boolean
  readonly what: string
  readonly procs: readonly Process[]
  readonly exists: Outcome
}

/** A test that the API itself has to refuse. */
export interface Misuse {
  readonly name: string
  readonly what: string
  readonly procs: readonly Process[]
  /** What is reported, or null: it is legal. */
  readonly reported: RegExp | null
}

const process = (text: string): Process => text.split(';').map((step) => parseStep(step.trim()))

function litmus(
  name: string,
  linux: 'Never' | 'Sometimes' | 'weak',
  what: string,
  procs: readonly string[],
  exists: Outcome,
): Litmus {
  return {
    name,
    linux: linux === 'weak' ? 'Sometimes' : linux,
    needsWeakMemory: linux === 'weak',
    what,
    procs: procs.map(process),
    exists,
  }
}

const GRACE = 'y = 1; sync s; x = 1'
const NEW_AND_OLD: Outcome = { '0:r1': 1, '0:r2': 0 }

/**
 * A ring: each process sees the write of the one before it and writes for the next one. R = a section, G = a grace
 * period, the digit is the domain, r that of plain RCU. The outcome is that all of them see a write: a ring of cause and effect.
 */
function ring(name: string, linux: 'Never' | 'Sometimes', what: string, members: readonly string[]): Litmus {
  const exists: Record<string, number> = {}
  const procs = members.map((member, at) => {
    const [kind, domain] = [member[0], member[1] === 'r' ? RCU : `s${member[1]}`]
    const [mine, next] = [`x${at}`, `x${(at + 1) % members.length}`]
    exists[`${at}:r1`] = 1
    if (kind === 'G') return `r1 = ${mine}; sync ${domain}; ${next} = 1`
    return `lock ${domain} r0; ${next} = 1; r1 = ${mine}; unlock ${domain} r0`
  })
  return litmus(name, linux, what, procs, exists)
}

/** The same where each section reads first. */
function loadBuffering(name: string, what: string, members: readonly string[]): Litmus {
  const test = ring(name, 'Never', what, members)
  const procs = test.procs.map((steps, at) =>
    members[at]!.startsWith('R') ? [steps[0]!, steps[2]!, steps[1]!, steps[3]!] : steps,
  )
  return { ...test, procs }
}

const EIGHT = ['R0', 'G0', 'R0', 'G0', 'R1', 'G1', 'R1', 'G1'] as const

export const litmusTests: readonly Litmus[] = [
  litmus(
    'C-srcu-nest-1',
    'Never',
    'two sections, one after the other',
    ['lock s r3; r1 = x; unlock s r3; lock s r4; r2 = y; unlock s r4', GRACE],
    NEW_AND_OLD,
  ),
  litmus(
    'C-srcu-nest-2',
    'Never',
    'nested sections of one domain',
    ['lock s r3; r2 = y; lock s r4; r1 = x; unlock s r4; unlock s r3', GRACE],
    NEW_AND_OLD,
  ),
  litmus(
    'C-srcu-nest-3',
    'Sometimes',
    'overlapping sections of two domains: together they are none',
    ['lock t r3; r2 = y; lock s r4; unlock t r3; r1 = x; unlock s r4', GRACE],
    NEW_AND_OLD,
  ),
  litmus(
    'C-srcu-nest-5',
    'Sometimes',
    'overlapping sections of one domain: together they are none',
    ['lock s r3; r2 = y; lock s r4; unlock s r3; r1 = x; unlock s r4', GRACE],
    NEW_AND_OLD,
  ),
  litmus(
    'C-srcu-nest-6',
    'Never',
    'srcu_down_read here, srcu_up_read there: one section',
    ['down s idx; r2 = y; f = 1', 'await f = 1; r1 = x; up s idx', GRACE],
    { '1:r1': 1, '0:r2': 0 },
  ),
  litmus(
    'C-srcu-nest-7',
    'Sometimes',
    'overlapping sections: the grace period waits for the first alone',
    ['lock s r1; x = 1; lock s r2; unlock s r1; y = 1; unlock s r2', 'r1 = x; sync s; r2 = y'],
    { '1:r1': 1, '1:r2': 0 },
  ),
  litmus(
    'C-srcu-nest-8',
    'Sometimes',
    'the same with a store in both',
    ['lock s r1; x = 1; lock s r2; z = 1; unlock s r1; y = 1; unlock s r2', 'r1 = x; r3 = z; sync s; r4 = z; r2 = y'],
    { '1:r1': 1, '1:r2': 0 },
  ),
  ...(['C-srcu-mb-1', 'C-srcu-mb-2', 'C-srcu-mb-3', 'C-srcu-mb-4', 'C-srcu-mb-5'] as const).map((name) => {
    const first =
      name === 'C-srcu-mb-3' ? 'x = 1; lock s r3; unlock s r3; r1 = y' : 'lock s r3; x = 1; unlock s r3; r1 = y'
    return litmus(
      name,
      name === 'C-srcu-mb-2' ? 'Never' : 'weak',
      name === 'C-srcu-mb-2' ? 'unlock, then smp_mb__after_srcu_read_unlock' : 'unlock is no full fence',
      [first, 'y = 1; r2 = x'],
      { '0:r1': 0, '1:r2': 0 },
    )
  }),
  litmus(
    'C-srcu-observed-1',
    'Never',
    'a third party agrees with the order of section and grace period',
    ['lock s r1; r2 = y; x = 1; unlock s r1', 'y = 1; sync s; z = 1', 'r2 = z; r3 = x'],
    { '0:r2': 0, '2:r2': 1, '2:r3': 0 },
  ),
  litmus(
    'C-srcu-observed-2',
    'Never',
    'the same, by the order of two stores',
    ['lock s r1; y = 1; x = 1; unlock s r1', 'r1 = y; sync s; z = 1', 'z = 2; r2 = x'],
    { '1:r1': 1, '2:r2': 0, z: 2 },
  ),
  litmus(
    'C-srcu-observed-3',
    'Never',
    'the same, with stores alone',
    ['lock s r1; y = 1; x = 1; unlock s r1', 'r1 = y; sync s; z = 1', 'z = 2; x = 2'],
    { '1:r1': 1, x: 1, z: 2 },
  ),
  ...(['C-srcu-observed-4', 'C-srcu-observed-5', 'C-srcue-observed-4'] as const).map((name) =>
    litmus(
      name,
      name === 'C-srcu-observed-5' ? 'Never' : 'weak',
      name === 'C-srcu-observed-5' ? 'stores alone, the third party with a full fence' : 'stores alone, no full fence',
      ['lock s r1; y = 2; x = 1; unlock s r1', 'y = 1; sync s; z = 2', 'z = 1; x = 2'],
      { x: 1, y: 1, z: 1 },
    ),
  ),
  litmus(
    'C-srcu-observed-6',
    'weak',
    'the reader itself looks after its section',
    ['lock s r1; b = 2; r2 = a; unlock s r1; r3 = c; r4 = d', 'b = 1; sync s; c = 1', 'd = 1; a = 1'],
    { '0:r2': 1, '0:r3': 1, '0:r4': 0, b: 1 },
  ),
  ring('C-SRCU-42', 'Sometimes', 'sections of two domains, then their grace periods', ['R0', 'R1', 'G0', 'G1']),
  ring('C-SRCU-63', 'Sometimes', 'the same with three domains', ['R0', 'R1', 'R2', 'G0', 'G1', 'G2']),
  ring('C-SRCU-42-A', 'Never', 'each section followed by its grace period', ['R0', 'G0', 'R1', 'G1']),
  ring('C-SRCU-63-A', 'Never', 'the same with three domains', ['R0', 'G0', 'R1', 'G1', 'R2', 'G2']),
  ring('C-SRCU-82-A', 'Never', 'two of each domain, each section followed by its grace period', EIGHT),
  loadBuffering('C-SRCU-LB-42-A', 'the same as 42-A, each section reads first', ['R0', 'G0', 'R1', 'G1']),
  loadBuffering('C-SRCU-LB-82-A', 'the same as 82-A, each section reads first', EIGHT),
  loadBuffering('C-SRCU-LB-42R-A', 'the same as LB-42-A, the second domain is plain RCU', ['R0', 'G0', 'Rr', 'Gr']),
]

const LOAD_BUFFERING =
  'load buffering: each process reads before it writes, so that no machine that makes steps in order shows it, whatever SRCU does'

/** Named in the collection, and not run: why. */
export const litmusNotMirrored: Readonly<Record<string, string>> = {
  'C-SRCU2-LB-split': LOAD_BUFFERING,
  'C-SRCU-LB-s2': LOAD_BUFFERING,
  'the 20 names with srcu under manual/lwn573497': 'they use plain RCU: there the s is no sleepable one',
}

export const misuses: readonly Misuse[] = [
  {
    name: 'C-srcu-nest-4',
    what: 'three locks, two unlocks',
    procs: [process('lock t r3; r2 = y; lock s r4; lock s r5; unlock t r3; r1 = x; unlock s r4')],
    reported: /ended holding srcu s/,
  },
  {
    name: 'C-srcu-misnest',
    what: 'an unlock without its lock',
    procs: [process('lock s r3; unlock s r3; unlock s r3')],
    reported: /it is in no section/,
  },
  {
    name: 'C-srcu-misnest-not',
    what: 'nested sections that end in the order in which they began',
    procs: [process('lock s r3; lock s r4; unlock s r3; unlock s r4')],
    reported: null,
  },
]
