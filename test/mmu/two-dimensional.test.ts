import test from 'ava'
import { PAGE_SIZE, gva, gvnOf, hpa } from '../../src/base/index.ts'
import type { Pfn } from '../../src/base/index.ts'
import { Vm, consistencyReport, forEachSpte } from '../../src/mmu/index.ts'
import type { Vcpu } from '../../src/mmu/index.ts'
import { random } from '../../src/sched/index.ts'
import { StubHost } from './stub-host.ts'
import { schedules } from './world.ts'
import type { StubOptions } from './stub-host.ts'

const HVA_PAGE = 0x10000
const GFN = 0x80000

/** A VM of `pages` pages, backed by mapped pages. */
async function start(host: StubHost, pages: number): Promise<{ vm: Vm; vcpu: Vcpu }> {
  const vm = new Vm(host)
  await vm.register()
  for (let page = 0; page < pages; page++) host.map(HVA_PAGE + page)
  await vm.setMemslot({ id: 0, gpa: GFN * PAGE_SIZE, length: pages * PAGE_SIZE, hva: HVA_PAGE * PAGE_SIZE })
  return { vm, vcpu: vm.createVcpu({ tlb: { entries: 8 } }) }
}

/** Runs one access to its end, as a run loop does. */
async function store(vcpu: Vcpu, frame: number, value: number): Promise<string> {
  for (;;) {
    await vcpu.enterGuest()
    const at = vcpu.translateWrite(gvnOf(gva(BigInt(frame) << 12n)))
    if (at !== -1) {
      vcpu.bytes.write32(hpa(at), value)
      return 'ok'
    }
    const outcome = await vcpu.handleMiss()
    if (outcome !== 'retry') return outcome
  }
}

async function load(vcpu: Vcpu, frame: number): Promise<number | string> {
  for (;;) {
    await vcpu.enterGuest()
    const at = vcpu.translateRead(gvnOf(gva(BigInt(frame) << 12n)))
    if (at !== -1) return vcpu.bytes.read32(hpa(at))
    const outcome = await vcpu.handleMiss()
    if (outcome !== 'retry') return outcome
  }
}

async function inHost(options: StubOptions, body: (host: StubHost) => Promise<void>): Promise<void> {
  const host = new StubHost(options)
  await host.sched.run('main', () => body(host))
}

test('a store faults once, lands in the host page, and is dropped by an unmap that waits for the vCPU', async (t) => {
  await inHost({}, async (host) => {
    const { vm, vcpu } = await start(host, 4)
    const before = host.freeFrames()
    t.is(await store(vcpu, GFN + 1, 77), 'ok')
    t.is(vm.stats.faults, 1)
    t.is(host.memory.read32(hpa(host.table.get(HVA_PAGE + 1)!.pfn * PAGE_SIZE)), 77)
    t.is(await store(vcpu, GFN + 1, 78), 'ok')
    t.is(vm.stats.faults, 1)
    const frame = host.table.get(HVA_PAGE + 1)!.pfn
    vcpu.exitGuest()
    const guest = host.sched.spawn('vcpu', async () => {
      await vcpu.enterGuest()
      for (let quantum = 0; quantum < 5; quantum++) await vcpu.quantumEnd()
      vcpu.exitGuest()
    })
    await host.unmap(HVA_PAGE + 1, 1)
    await host.sched.join(guest)
    t.true(host.isFree(frame))
    t.true(host.dirty.has(frame))
    t.is(vm.sptes.count, 0)
    t.is(vcpu.tlb.validEntries(), 0)
    t.is(await load(vcpu, GFN + 1), 'efault')
    t.is(await load(vcpu, GFN + 9), 'mmio')
    vcpu.exitGuest()
    await vm.destroy()
    t.is(host.freeFrames(), before + 1)
    t.is(host.count, 1)
  })
})

class SlowAllocator extends StubHost {
  override async allocTable(order: number): Promise<Pfn> {
    await this.sched.sleep(1_000_000)
    return super.allocTable(order)
  }
}

test('destroying a VM waits for a fault that is waiting for memory, and nothing leaks', async (t) => {
  const host = new SlowAllocator()
  await host.sched.run('main', async () => {
    const { vm, vcpu } = await start(host, 4)
    const before = host.freeFrames()
    const guest = host.sched.spawn('vcpu', async () => {
      await t.throwsAsync(store(vcpu, GFN, 1), { message: /vm 1 is being destroyed/ })
    })
    await host.sched.sleep(1_500_000)
    await vm.destroy()
    await host.sched.join(guest)
    t.is(host.freeFrames(), before)
  })
})

/** A host whose 512 pages from HVA_PAGE are one large page, until it is split. */
class LargePageHost extends StubHost {
  large = true

  constructor() {
    super({ frames: 2048 })
    for (let page = 0; page < 512; page++) this.table.set(HVA_PAGE + page, { pfn: 1024 + page, writable: true })
    this.refs.fill(1, 1024, 1536)
  }

  override peekLevel(): number {
    return this.large ? 1 : 0
  }
}

test('a large host page is one spte; it is split for the dirty log, dropped whole, and built again', async (t) => {
  const host = new LargePageHost()
  await host.sched.run('main', async () => {
    const vm = new Vm(host)
    await vm.register()
    const slot = { id: 0, gpa: GFN * PAGE_SIZE, length: 512 * PAGE_SIZE, hva: HVA_PAGE * PAGE_SIZE }
    await vm.setMemslot(slot)
    const vcpu = vm.createVcpu()
    const touch = async (page: number, value?: number): Promise<void> => {
      if (value === undefined) await load(vcpu, GFN + page)
      else t.is(await store(vcpu, GFN + page, value), 'ok')
      vcpu.exitGuest()
    }
    const levels = (): number[] => {
      const found: number[] = []
      forEachSpte(vm, (spte) => found.push(spte.level))
      return found
    }
    await touch(3, 33)
    await touch(500, 55)
    t.is(vm.stats.faults, 1, 'one fault serves 512 pages')
    t.deepEqual(levels(), [1])
    t.is(host.memory.read32(hpa((1024 + 500) * PAGE_SIZE)), 55)
    await vm.setMemslot({ ...slot, logDirtyPages: true })
    t.deepEqual(levels(), [1], 'logging only write-protects')
    await touch(7)
    t.is(vm.stats.faults, 1)
    await touch(7, 77)
    t.deepEqual(levels(), [0], 'a store splits it')
    t.true(host.dirty.has(1024 + 500), 'what was written before is known')
    t.deepEqual([...(await vm.getDirtyLog(0))].slice(0, 2), [1 << 7, 0])
    await vm.setMemslot(slot)
    await touch(8, 88)
    t.deepEqual(levels(), [1], 'without the log the next fault builds the large one again')
    t.deepEqual(consistencyReport(vm), [])
    t.is(vcpu.tlb.validEntries() > 0, true)
    await host.unmap(HVA_PAGE + 100, 1)
    t.deepEqual(levels(), [], 'an invalidation of one page takes the whole')
    host.large = false
    await touch(9)
    await touch(10)
    t.deepEqual(levels(), [0, 0])
    t.deepEqual(consistencyReport(vm), [])
    await vm.destroy()
  })
})

for (const pageTableLock of ['sleep', 'spin'] as const) {
  test(`no translation to a freed frame under random schedules, page-table lock ${pageTableLock}`, async (t) => {
    let retries = 0
    let waited = 0
    for (let seed = 0; seed < schedules(60); seed++) {
      await inHost({ policy: random(seed, { period: 3 }), pageTableLock, cpus: 2 }, async (host) => {
        const { vm, vcpu } = await start(host, 2)
        const second = vm.createVcpu({ tlb: { entries: 8 } })
        const check = (): void => {
          for (const cpu of vm.vcpus) {
            for (const tlb of [cpu.tlb.read, cpu.tlb.write]) {
              tlb.forEachValid((index) => {
                if (cpu.mode === 0 && cpu.willFlush(tlb.extraAt(index), 1)) return
                if (host.isFree(tlb.pfnAt(index))) t.fail(`seed ${seed}: TLB names free frame ${tlb.pfnAt(index)}`)
              })
            }
          }
        }
        const detach = host.sched.trace.attach(check)
        for (const [number, cpu] of [vcpu, second].entries()) {
          host.sched.spawn(`vcpu${number}`, async () => {
            for (let round = 0; round < 6; round++) {
              const frame = GFN + ((round + number) % 2)
              if (round % 3 === 0) await load(cpu, frame)
              else await store(cpu, frame, round)
              await cpu.quantumEnd()
            }
            cpu.exitGuest()
          })
        }
        const storm = host.sched.spawn('storm', async () => {
          await host.unmap(HVA_PAGE, 1)
          await host.replace(HVA_PAGE + 1)
          host.map(HVA_PAGE)
          await host.protect(HVA_PAGE, 2, false)
          await host.unmap(HVA_PAGE, 2)
        })
        await host.sched.join(storm)
        retries += vm.stats.retries
        waited += vm.stats.flushesWaited
        t.is(vm.invalidation.inProgress, 0)
        detach()
      })
    }
    t.true(retries > 0, 'a retry was taken')
    t.true(waited > 0, 'a flush waited')
  })
}
