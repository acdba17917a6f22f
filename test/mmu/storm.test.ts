/** vCPUs run while the host takes their pages away: what a guest loads is what was last stored. */
import test from 'ava'
import { Random } from '../../src/base/index.ts'
import { migratePage } from '../../src/host/index.ts'
import { random } from '../../src/sched/index.ts'
import { RAM, inWorld, load, store } from './world.ts'
import type { World } from './world.ts'

const PAGES = 6

/** Operations of the host that change where content is, never what it is. */
const KEEPING: readonly ((world: World, page: number, random: Random) => Promise<void>)[] = [
  async (world, page, random) => world.mm.madvise(world.hva(page), 4096 * random.between(1, PAGES - page), 'pageout'),
  async (world) => {
    await world.kernel.reclaimPages(3)
  },
  async (world) => {
    const child = await world.mm.fork()
    await child.exit()
  },
  async (world, page) => {
    const pfn = world.vm.backing.peekPage(world.hva(page) as never, false)
    if (pfn > 0 && pfn !== world.kernel.zeroPfn) await migratePage(world.kernel, pfn as never)
  },
  async (world, page) => {
    await world.mm.madvise(world.hva(0), 4096 * PAGES, 'mergeable')
    await world.kernel.ksm.scan()
    if (page === 0) await world.mm.madvise(world.hva(0), 4096 * PAGES, 'unmergeable')
  },
  async (world, page) => {
    await world.mm.mprotect(world.hva(page), 4096, 'r')
    await world.mm.mprotect(world.hva(page), 4096, 'rw')
  },
]

const totals = { retries: 0, waited: 0, removed: 0, dirty: 0, young: 0, cow: 0 }

for (const paging of ['two-dimensional', 'shadow'] as const) {
  for (const pageTableLock of ['sleep', 'spin'] as const) {
    test(`no content is lost and no freed frame is named: ${paging}, page-table lock ${pageTableLock}`, async (t) => {
      for (let seed = 0; seed < 60; seed++) {
        const kernel = { policy: random(seed, { period: 3 }), pageTableLock, swapPages: 64, frames: 96 } as const
        await inWorld({ kernel, vm: { paging }, pages: PAGES, vcpus: 2, tlbEntries: 4 }, async (world) => {
          const problems: string[] = []
          const fail = (message: string): void => void problems.push(`seed ${seed}: ${message}`)
          const detach = world.kernel.trace.attach((event) => {
            if (event.name.startsWith('mm_page_free') || event.name.startsWith('kvm')) world.auditStep(fail)
          })
          const golden = Array.from({ length: PAGES }, () => 0)
          const tasks = world.vcpus.map((vcpu) =>
            world.kernel.spawn(`vcpu${vcpu.id}`, async () => {
              const random = new Random(seed).stream(`vcpu${vcpu.id}`)
              for (let round = 0; round < 12; round++) {
                const page = random.below(PAGES)
                const result = random.oneIn(2)
                  ? await store(vcpu, RAM + page, round, { done: () => (golden[page] = round) })
                  : await load(vcpu, RAM + page, {
                      done: (value) => {
                        if (value !== golden[page]) fail(`page ${page} shows ${value}, expected ${golden[page]}`)
                      },
                    })
                if (result === 'efault') vcpu.exitGuest()
                await vcpu.quantumEnd()
              }
              vcpu.exitGuest()
            }),
          )
          const random = new Random(seed).stream('storm')
          for (let round = 0; round < 4; round++) {
            await random.pick(KEEPING)(world, random.below(PAGES), random)
          }
          for (const task of tasks) await world.kernel.sched.join(task)
          world.auditRest(fail)
          const { stats } = world.vm
          totals.retries += stats.retries
          totals.waited += stats.flushesWaited
          totals.removed += stats.flushesThatRemoved
          totals.dirty += stats.dirtyHandedOver
          totals.young += stats.youngHandedOver
          detach()
          await world.close()
          t.deepEqual(problems, [])
        })
      }
    })
  }
}

test.after('the storm exercised what it is for', (t) => {
  for (const [name, count] of Object.entries(totals)) if (name !== 'cow') t.true(count > 0, name)
})
