/** SRCU litmus tests: what Linux calls Never is never shown, and what can be shown is; wrong SRCUs of either kind are found. */
import test from 'ava'
import { litmusTests, misuses, runLitmus, runMisuse, srcuKinds } from '../../src/check/index.ts'
import type { Litmus } from '../../src/check/index.ts'
import { SrcuTiny } from '../../src/notifier/index.ts'

const LONG = process.env['UMBRA_LONG'] === '1'
const named = (name: string): Litmus => litmusTests.find((each) => each.name === name)!

test('each outcome that a sequentially consistent machine allows is shown, and no other', async (t) => {
  for (const litmus of litmusTests) {
    // Six processes have many interleavings.
    if (litmus.procs.length > 4 && !LONG) continue
    for (const kind of srcuKinds) {
      const result = await runLitmus(litmus, kind, { schedules: LONG ? 20_000 : 60, preemptions: 2 })
      t.is(result.wrong, null, `${litmus.name} ${kind}`)
      t.is(result.exists, litmus.linux === 'Sometimes' && !litmus.needsWeakMemory, `${litmus.name} ${kind}`)
    }
  }
})

test('misuse is reported', async (t) => {
  for (const misuse of misuses) {
    for (const kind of srcuKinds) t.is((await runMisuse(misuse, kind)).wrong, null, `${misuse.name} ${kind}`)
  }
})

class NeverWaits extends SrcuTiny {
  override synchronize(): Promise<void> {
    return Promise.resolve()
  }
}

/** Waits for readers that it need not wait for. */
class WaitsForAll extends SrcuTiny {
  private readonly scheduler: ConstructorParameters<typeof SrcuTiny>[0]

  constructor(...[sched, options]: ConstructorParameters<typeof SrcuTiny>) {
    super(sched, options)
    this.scheduler = sched
  }

  override async synchronize(): Promise<void> {
    while (this.activeReaders().length > 0) await this.scheduler.yieldNow()
  }
}

test('with eight processes an SRCU that does not wait is found by the interleaving that it should prevent', async (t) => {
  const litmus = named('C-SRCU-82-A')
  const right = await runLitmus(litmus, 'classic', { schedules: 5 })
  t.is(right.wrong, null)
  const weak = await runLitmus(litmus, 'tiny', {
    schedules: 1,
    make: (_kind, sched, name) => new NeverWaits(sched, { name }),
  })
  t.regex(weak.wrong ?? '', /was shown, and cannot be/)
})

test('a grace period that does not wait, and one that waits for too much', async (t) => {
  const weak = await runLitmus(named('C-srcu-nest-2'), 'tiny', {
    make: (_kind, sched, name) => new NeverWaits(sched, { name }),
  })
  t.is(weak.wrong, '0:r1=1 0:r2=0 was shown, and cannot be')
  const strong = await runLitmus(named('C-srcu-nest-5'), 'tiny', {
    make: (_kind, sched, name) => new WaitsForAll(sched, { name }),
  })
  t.is(strong.wrong, 'never shown: 0:r1=1 0:r2=0')
})
