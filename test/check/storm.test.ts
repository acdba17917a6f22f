import { readFileSync } from 'node:fs'
import test from 'ava'
import { KiB, MiB } from '../../src/base/index.ts'
import { Session, injections, stormKinds, total, verdictOf } from '../../src/check/index.ts'
import type { GuestSpec, MmFigures, RunReport, SessionOptions } from '../../src/check/index.ts'
import { random, replay, decodeSchedule } from '../../src/sched/index.ts'
import { traceLine } from '../../src/view/index.ts'

const program = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../examples/guests/prebuilt/${name}.elf`, import.meta.url)))

const guest = (name: string, options: Partial<GuestSpec> = {}): GuestSpec => ({
  name,
  program: program(name),
  memory: 2 * MiB,
  harts: 1,
  paging: 'two-dimensional',
  bootargs: '',
  budget: 20e6,
  ...options,
})

/** Small enough for a storm test, and large enough to use private and shared memory. */
const patterns = (options: Partial<GuestSpec> = {}): GuestSpec =>
  guest('patterns', { memory: 512 * KiB, bootargs: 'kib=64 rounds=1', ...options })

const session = (options: Partial<SessionOptions> & Pick<SessionOptions, 'guests'>): Session =>
  new Session({
    seed: 1,
    frames: 2048,
    swapPages: 2048,
    pageTableLock: 'sleep',
    srcu: 'tiny',
    audit: 'all',
    ...options,
  })

const run = (options: Partial<SessionOptions> & Pick<SessionOptions, 'guests'>): Promise<RunReport> =>
  session(options).run()

/** What that guest prints when nobody disturbs it. */
const ALONE = 'patterns: 64 KiB, 1 rounds, checksum 7b17e81c11f58000\npatterns: pass\n'

const pace = { shortest: 1_000, longest: 20_000 }
const kindsNamed = (...names: string[]): typeof stormKinds => stormKinds.filter(({ name }) => names.includes(name))

const inAll = (report: RunReport, of: (mm: MmFigures) => number): number =>
  report.guests.reduce((sum, { mm }) => sum + of(report.figures.mm(mm)), 0)

/** What a storm of each kind must have done to its guests. */
const EFFECTS: Readonly<Record<string, (report: RunReport) => number>> = {
  unmap: (report) => inAll(report, (mm) => mm.zaps['UNMAP'] ?? 0),
  dontneed: (report) => inAll(report, (mm) => mm.zaps['CLEAR'] ?? 0),
  protect: (report) => inAll(report, (mm) => mm.zaps['PROTECTION_VMA'] ?? 0),
  mremap: (report) => inAll(report, (mm) => mm.zaps['UNMAP'] ?? 0),
  fork: (report) => inAll(report, (mm) => mm.cowCopies),
  reclaim: (report) => total(report.figures.host.reclaim),
  pageout: (report) => report.figures.host.swapWrites,
  idle: (report) => inAll(report, (mm) => mm.hooks['clearYoung']?.calls ?? 0),
  migrate: (report) => report.figures.host.migrated,
  ksm: (report) => inAll(report, (mm) => mm.ksmMerged),
  client: (report) => report.figures.srcu.get('mmu_notifier_srcu')!.longestWait,
}

for (const kind of stormKinds) {
  test(`${kind.name} changes nothing that a guest computes, in either way of paging`, async (t) => {
    const texts = ['', '']
    const report = await run({
      guests: [
        patterns({ onConsole: (text) => (texts[0] += text) }),
        patterns({ name: 'twin', paging: 'shadow', onConsole: (text) => (texts[1] += text) }),
      ],
      // A client's hooks sleep when another storm gives it something to do.
      storm: { seed: 3, kinds: kind.name === 'client' ? kindsNamed('client', 'dontneed') : [kind], pace },
    })
    t.deepEqual(report.audit.violations, [])
    t.is(report.failure, null)
    for (const { outcome, detail } of report.guests) t.is(outcome, 'finished', detail)
    t.is(texts[0], ALONE)
    t.is(texts[1], ALONE)
    t.true(EFFECTS[kind.name]!(report) > 0, 'the storm did something')
    t.true(report.storms[0]!.operations > 5)
  })
}

test('all storms together on too little memory: several guests, both paging modes, every lock and SRCU flavour', async (t) => {
  for (const [seed, srcu, pageTableLock] of [
    [1, 'tiny', 'sleep'],
    [2, 'classic', 'sleep'],
    [3, 'counted', 'spin'],
  ] as const) {
    const texts = ['', '']
    const report = await run({
      seed,
      srcu,
      pageTableLock,
      frames: 96,
      guests: [
        patterns({ onConsole: (text) => (texts[0] += text) }),
        patterns({ name: 'shadow', paging: 'shadow', onConsole: (text) => (texts[1] += text) }),
      ],
      storm: { seed, kinds: stormKinds, pace },
    })
    t.is(report.failure, null)
    t.is(verdictOf(report), 'consistent')
    t.true(report.figures.host.swapReads > 0)
    t.deepEqual(texts, [ALONE, ALONE])
  }
})

/** A run and every line of its trace. */
async function traced(options: Partial<SessionOptions>): Promise<{ lines: string[]; report: RunReport }> {
  const lines: string[] = []
  const report = await run({
    guests: [patterns({ bootargs: 'kib=64 rounds=1' })],
    frames: 128,
    storm: { seed: 5, kinds: stormKinds, pace },
    audit: 'sampled',
    probe: (event, stamp) => lines.push(traceLine(event, stamp)),
    ...options,
  })
  return { lines, report }
}

test('the same seed gives the same run, event by event, and a recorded schedule repeats it', async (t) => {
  const first = await traced({})
  const second = await traced({})
  t.is(first.report.failure, null)
  t.true(first.lines.length > 1000)
  t.deepEqual(first.lines, second.lines)
  const shuffled = await traced({ policy: random(9) })
  t.is(verdictOf(shuffled.report), 'consistent')
  t.notDeepEqual(shuffled.lines, first.lines)
  const again = await traced({ policy: replay(decodeSchedule(shuffled.report.schedule)) })
  t.deepEqual(again.lines, shuffled.lines)
})

for (const inject of injections) {
  test(`the auditor finds ${inject.name}, and names the page and what happened to it`, async (t) => {
    const report = await run({
      guests: [
        patterns({ bootargs: 'kib=256 rounds=2' }),
        patterns({ name: 'twin', paging: 'shadow', bootargs: 'kib=256 rounds=2' }),
      ],
      frames: 120,
      policy: random(1),
      storm: { seed: 1, kinds: stormKinds, pace },
      inject,
    })
    t.is(verdictOf(report), 'violation')
    const [violation] = report.audit.violations
    t.true(['I1', 'I2', 'I10'].includes(violation!.invariant), violation!.what)
    t.true(violation!.page.pfn !== undefined || violation!.page.hva !== undefined)
    t.true(violation!.history.length > 0)
  })
}

test('a host without frames and swap is a clear outcome for the guest that hits it', async (t) => {
  const report = await run({
    guests: [patterns({ memory: 2 * MiB, bootargs: 'kib=1024 rounds=1' })],
    frames: 128,
    swapPages: 0,
  })
  t.is(report.failure, null)
  t.is(report.guests[0]!.outcome, 'memory')
  t.is(verdictOf(report), 'budget')
  t.regex(report.guests[0]!.detail, /no memory left/)
})

test('guests that misbehave end alone, each in its documented way', async (t) => {
  const report = await run({
    guests: [
      guest('spin', { budget: 300_000 }),
      guest('jump-nowhere'),
      guest('recursive-table'),
      guest('wild-mmio', { bootargs: 'fetch=0' }),
      guest('write-text', { memory: 4 * MiB, paging: 'shadow' }),
      patterns({ bootargs: 'kib=64 rounds=1' }),
    ],
    audit: 'sampled',
  })
  t.is(report.failure, null)
  t.deepEqual(report.audit.violations, [])
  t.deepEqual(
    report.guests.map(({ name, outcome }) => `${name} ${outcome}`),
    [
      'spin budget',
      'jump-nowhere crashed',
      'recursive-table crashed',
      'wild-mmio finished',
      'write-text finished',
      'patterns finished',
    ],
  )
  for (const { detail } of report.guests) t.false(detail.includes('\n'))
})

test('a run that is stopped says so and leaves nothing behind', async (t) => {
  let turns = 0
  const one: Session = session({
    guests: [guest('spin')],
    storm: { seed: 1, kinds: stormKinds, pace },
    audit: 'sampled',
    onTurn: () => {
      if (++turns === 3) one.stop()
    },
  })
  const report = await one.run()
  t.is(report.failure, null)
  t.is(report.guests[0]!.outcome, 'stopped')
  t.is(verdictOf(report), 'budget')
})
