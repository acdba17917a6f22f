import test from 'ava'
import { PAGE_SIZE, gva, gvnOf, hpa } from '../../src/base/index.ts'
import type { Pfn } from '../../src/base/index.ts'
import { Vm } from '../../src/mmu/index.ts'
import type { Vcpu } from '../../src/mmu/index.ts'
import { random } from '../../src/sched/index.ts'
import { StubHost } from './stub-host.ts'
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

for (const pageTableLock of ['sleep', 'spin'] as const) {
  test(`no translation to a freed frame under 150 random schedules, page-table lock ${pageTableLock}`, async (t) => {
    let retries = 0
    let waited = 0
    for (let seed = 0; seed < 150; seed++) {
      await inHost({ policy: random(seed, { period: 3 }), pageTableLock, cpus: 2 }, async (host) => {
        const { vm, vcpu } = await start(host, 2)
        const second = vm.createVcpu({ tlb: { entries: 8 } })
        const check = (): void => {
          for (const cpu of vm.vcpus) {
            for (const tlb of [cpu.tlb.read, cpu.tlb.write]) {
              tlb.forEachValid((index) => {
                if (cpu.mode === 0 && cpu.willFlush(tlb.extraAt(index))) return
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
