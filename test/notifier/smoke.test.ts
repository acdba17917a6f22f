import test from 'ava'
import { hva } from '../../src/base/index.ts'
import {
  mmuNotifierInvalidateRangeEnd,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierRange,
  mmuNotifierRegister,
  mmuNotifierUnregister,
} from '../../src/notifier/index.ts'
import { Scheduler, random } from '../../src/sched/index.ts'
import { MmStub, notifierSrcu } from './mm-stub.ts'

for (const kind of ['tiny', 'classic', 'counted'] as const) {
  test(`smoke ${kind}`, async (t) => {
    for (let seed = 1; seed < 300; seed++) {
      const sched = new Scheduler({ seed, policy: random(seed, { migrate: true }) })
      await sched.run('main', async () => {
        const mm = new MmStub(sched, notifierSrcu(sched, kind))
        let calls = 0
        const mn = await mmuNotifierRegister(
          {
            name: 'nic',
            async invalidateRangeStart() {
              calls++
              await sched.sleep(100)
            },
          },
          mm,
        )
        const storm = sched.spawn('storm', async () => {
          for (let i = 0; i < 3; i++) {
            const range = mmuNotifierRange(mm, hva(0), hva(4096), 'UNMAP')
            await mmuNotifierInvalidateRangeStart(range)
            await mmuNotifierInvalidateRangeEnd(range)
          }
        })
        await mmuNotifierUnregister(mn, mm)
        const seen = calls
        await sched.join(storm)
        t.is(calls, seen)
        await mm.exit()
        t.true(mm.isFreed)
      })
    }
  })
}
