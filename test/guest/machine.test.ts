import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { KernelError, MiB } from '../../src/base/index.ts'
import type { TraceEvent } from '../../src/base/index.ts'
import { Assembler, Machine, RAM_BASE, parseProgram } from '../../src/guest/index.ts'
import type { MachineOptions, MachineResult, MmioDevice } from '../../src/guest/index.ts'
import { Kernel } from '../../src/host/index.ts'
import { random } from '../../src/sched/index.ts'
import type { KernelOptions } from '../../src/host/index.ts'

const guests = fileURLToPath(new URL('../../../examples/guests/', import.meta.url))
const prebuilt = (name: string): Uint8Array => new Uint8Array(readFileSync(join(guests, 'prebuilt', `${name}.elf`)))

/** Boot arguments that keep the runs short. */
const BOOTARGS: Readonly<Record<string, string>> = {
  patterns: 'kib=512 rounds=2',
  sort: 'count=6000',
  float: 'steps=100',
  timer: 'ticks=8',
}
/** What the guests print with them under QEMU with OpenSBI (examples/guests/qemu.sh). */
const EXPECTED: Readonly<Record<string, string>> = {
  hello: 'hello: a guest in S mode, with a device tree\nhello: pass\n',
  paging:
    'paging: Sv39, 7 tables, 64 demand faults, checksum 8d052bb83a4f3d8c\n' +
    'paging: Sv48, 8 tables, 64 demand faults, checksum 8d052bb83a4f3d8c\npaging: pass\n',
  patterns: 'patterns: 512 KiB, 2 rounds, checksum 2c87e6541f580000\npatterns: pass\n',
  sort: 'sort: 6000 elements, 1 rounds, 360 KiB in use, checksum dacf69dce5898e0a\nsort: pass\n',
  float:
    'energy -0.169075 (bfc5a441459acec9)\n' +
    'energy -0.169051 (bfc5a37493e5f04f)\n' +
    'sun 0.000436 (3f3c95e4554e3c17)\n' +
    'jupiter 4.646627 (4012962548b28c2e)\n' +
    'saturn 7.133664 (401c88df36c0c071)\n' +
    'uranus 13.943508 (402be3137aad8913)\n' +
    'neptune 16.347336 (403058eb04a9ae20)\n' +
    '...................,,,,,,,,,,,,,,,,,,,,,............\n' +
    '............,,,,,,,,,,,,,,,,,,,,,::-#-:,,,,,,,,.....\n' +
    '.........,,,,,,,,,,,,,,,,,,:::::--@@@%-:::::,,,,,,,.\n' +
    '......,,,,,,,,,,,,,,,,,:::=+@@@@@@@@@@@@@@@=::,,,,,,\n' +
    '.....,,,,,,,,,,::-@@@@@%==@@@@@@@@@@@@@@@@@@%-,,,,,,\n' +
    '.....%%%@%%%@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@*-::,,,,,,\n' +
    '.....,,,,,,,,,,::-@@@@@%==@@@@@@@@@@@@@@@@@@%-,,,,,,\n' +
    '......,,,,,,,,,,,,,,,,,:::=+@@@@@@@@@@@@@@@=::,,,,,,\n' +
    '.........,,,,,,,,,,,,,,,,,,:::::--@@@%-:::::,,,,,,,.\n' +
    '............,,,,,,,,,,,,,,,,,,,,,::-#-:,,,,,,,,.....\n' +
    '...................,,,,,,,,,,,,,,,,,,,,,............\n' +
    'at least 7.485471 (401df11f45f4e464)\n' +
    'at most 7.485471 (401df11f45f4e835)\n' +
    'float: pass\n',
  timer:
    'timer: 8 ticks, 0 early\ntimer: 8 ticks of its own timer, 0 early\n' +
    'timer: suspended, and resumed in place\n' +
    'timer: suspended, and resumed elsewhere\ntimer: pass\n',
  smp: 'smp: lock, AMO, LR/SC, IPI, 24 remote fences\nsmp: pass\n',
  selfmod: 'selfmod: 32 rounds, checksum 7929bde52629d510\nselfmod: pass\n',
  'write-text': 'write-text: 1 store refused\nwrite-text: pass\n',
}
const PAGINGS = ['two-dimensional', 'shadow'] as const

type Options = Omit<MachineOptions, 'program' | 'name'> & { readonly name?: string }

/** Runs one guest on a kernel of its own; the machine is destroyed and everything must balance. */
async function runGuest(
  guest: string,
  options: Options = {},
  kernelOptions: KernelOptions = {},
  probe?: (event: TraceEvent) => void,
): Promise<MachineResult> {
  const kernel = new Kernel({ frames: 8192, ...kernelOptions })
  if (probe !== undefined) kernel.trace.attach(probe)
  const result = await kernel.run(async () => {
    const machine = await Machine.create(kernel, {
      name: guest,
      program: prebuilt(guest),
      bootargs: BOOTARGS[guest] ?? '',
      ...options,
    })
    const ended = await machine.run()
    await machine.destroy()
    return ended
  })
  kernel.assertBalanced()
  return result
}

function shutDown(t: ExecutionContext, result: MachineResult, guest: string, what: string): void {
  t.is(result.console, EXPECTED[guest]!, what)
  t.is(result.cause, 'shutdown', `${what}: ${result.message}`)
  t.is(result.exitReason, 'KVM_EXIT_SYSTEM_EVENT')
  t.is(result.exitCode, 0)
}

for (const paging of PAGINGS) {
  test(`every guest prints what it prints under QEMU: ${paging}`, async (t) => {
    for (const guest of ['hello', 'paging', 'patterns', 'sort', 'timer', 'write-text']) {
      shutDown(t, await runGuest(guest, { vm: { paging } }), guest, `${guest}, ${paging}`)
    }
  })

  test(`harts share memory, interrupts and fences: ${paging}`, async (t) => {
    for (const harts of [1, 2, 4]) {
      shutDown(
        t,
        await runGuest('smp', { vm: { paging }, harts, quantum: 2000 }),
        'smp',
        `smp, ${harts} harts, ${paging}`,
      )
    }
    shutDown(t, await runGuest('selfmod', { vm: { paging }, harts: 2, quantum: 2000 }), 'selfmod', `selfmod, ${paging}`)
  })
}

test('paging is right in every way that a VM can be set up', async (t) => {
  for (const adUpdate of ['svadu', 'svade'] as const) {
    shutDown(t, await runGuest('paging', { vm: { adUpdate } }), 'paging', adUpdate)
    for (const guestTables of ['trap', 'unsync'] as const) {
      const vm = { paging: 'shadow', adUpdate, guestTables } as const
      shutDown(t, await runGuest('paging', { vm }), 'paging', `${adUpdate}, shadow, ${guestTables}`)
    }
  }
  const vm = { paging: 'shadow', shadowPageLimit: 12 } as const
  shutDown(t, await runGuest('paging', { vm }), 'paging', 'with few shadow pages')
})

test('QEMU prints what is expected here', (t) => {
  if (process.env['UMBRA_LONG'] !== '1') {
    t.log('skipped: set UMBRA_LONG=1')
    t.pass()
    return
  }
  const tools = ['qemu-system-riscv64', 'riscv64-unknown-elf-gcc', 'fdtput']
  const absent = tools.find((tool) => spawnSync(tool, ['--version']).error !== undefined)
  if (absent !== undefined) {
    t.log(`skipped: ${absent} is not installed`)
    t.pass()
    return
  }
  for (const [guest, expected] of Object.entries(EXPECTED)) {
    const harts = guest === 'smp' || guest === 'selfmod' ? '2' : '1'
    const file = join(guests, 'prebuilt', `${guest}.elf`)
    // QEMU's firmware lets its harts race for who boots; the guests are written for hart 0, as Umbra starts it.
    let output = ''
    for (let attempt = 0; attempt < 10 && !/Boot HART ID +: 0\n/.test(output); attempt++) {
      output = spawnSync(join(guests, 'qemu.sh'), [file, harts, BOOTARGS[guest] ?? ''])
        .stdout.toString()
        .replaceAll('\r', '')
    }
    t.is(output.slice(-expected.length), expected, guest)
  }
})

test('a quantum of any length gives the same output', async (t) => {
  for (const quantum of [1, 7, 100]) {
    shutDown(t, await runGuest('hello', { quantum }), 'hello', `quantum ${quantum}`)
    const smp = await runGuest('smp', { quantum, harts: 2, bootargs: 'rounds=20 remaps=6' })
    t.is(smp.console, 'smp: lock, AMO, LR/SC, IPI, 6 remote fences\nsmp: pass\n', `quantum ${quantum}`)
  }
})

test('the same machine twice gives the same trace', async (t) => {
  const runs: TraceEvent[][] = [[], []]
  for (const events of runs) {
    await runGuest('smp', { harts: 2, bootargs: 'rounds=50 remaps=6' }, {}, (event) => events.push(event))
  }
  const [first, second] = runs as [TraceEvent[], TraceEvent[]]
  t.deepEqual(first, second)
  t.true(first.some((event) => event.name === 'kvm_riscv_sbi' && event.call === 'RFENCE.remote_sfence_vma'))
})

test('two machines on one kernel do not see each other', async (t) => {
  const kernel = new Kernel({ frames: 16384 })
  await kernel.run(async () => {
    const machines: Machine[] = []
    for (const guest of ['patterns', 'sort']) {
      machines.push(await Machine.create(kernel, { name: guest, program: prebuilt(guest), bootargs: BOOTARGS[guest]! }))
    }
    for (const machine of machines) machine.start()
    for (const machine of machines) {
      shutDown(t, await machine.wait(), machine.name, machine.name)
      await machine.destroy()
    }
  })
  kernel.assertBalanced()
})

test('each misbehaving guest ends with one clear line, and the other machine goes on', async (t) => {
  const cases = [
    [
      'jump-nowhere',
      'fetch-fault',
      'KVM_EXIT_INTERNAL_ERROR',
      /^jump-nowhere: hart 0 jumped to gpa 0x0, where no memory is$/,
    ],
    [
      'recursive-table',
      'trap-loop',
      'KVM_EXIT_INTERNAL_ERROR',
      /hart 0 traps for ever at pc 0x8[0-9a-f]+ \(scause 12\)/,
    ],
    ['spin', 'budget', 'KVM_EXIT_INTR', /^spin: its budget of instructions is spent$/],
    ['wild-mmio', 'fetch-fault', 'KVM_EXIT_INTERNAL_ERROR', /jumped to gpa 0x18000000/],
  ] as const
  for (const paging of PAGINGS) {
    const kernel = new Kernel({ frames: 8192 })
    await kernel.run(async () => {
      for (const [guest, cause, exitReason, message] of cases) {
        const bad = await Machine.create(kernel, {
          name: guest,
          program: prebuilt(guest),
          memory: MiB,
          budget: 100_000,
          vm: { paging },
        })
        const good = await Machine.create(kernel, {
          name: 'hello',
          program: prebuilt('hello'),
          memory: MiB,
          vm: { paging },
        })
        bad.start()
        good.start()
        const result = await bad.wait()
        t.is(result.cause, cause, `${guest}, ${paging}: ${result.message}`)
        t.is(result.exitReason, exitReason)
        t.is(result.exitCode, 1)
        t.regex(result.message, message)
        shutDown(t, await good.wait(), 'hello', `beside ${guest}`)
        await bad.destroy()
        await good.destroy()
      }
    })
    kernel.assertBalanced()
  }
})

test('accesses to nothing are access faults for the guest', async (t) => {
  for (const paging of PAGINGS) {
    const result = await runGuest('wild-mmio', { vm: { paging }, bootargs: 'fetch=0' })
    t.is(result.console, 'wild-mmio: 8 load and 8 store access faults\nwild-mmio: pass\n', paging)
    t.is(result.exits.mmio, 16)
  }
})

test('a read-only slot can be read; stores to it are access faults', async (t) => {
  for (const paging of PAGINGS) {
    const kernel = new Kernel({ frames: 8192 })
    await kernel.run(async () => {
      const machine = await Machine.create(kernel, {
        name: 'rom',
        program: prebuilt('wild-mmio'),
        bootargs: 'fetch=0',
        vm: { paging },
      })
      const hva = machine.ram.start + MiB
      await machine.vm.setMemslot({ id: 1, gpa: 0x1800_0000, length: MiB, hva, readonly: true })
      const result = await machine.run()
      t.is(result.console, 'wild-mmio: 0 load and 8 store access faults\nwild-mmio: FAIL, 1 errors\n', paging)
      await machine.destroy()
    })
    kernel.assertBalanced()
  }
})

test('a device takes the accesses in its range, and only those', async (t) => {
  const log: string[] = []
  const device: MmioDevice = {
    name: 'recorder',
    base: 0x1801_0008,
    length: 8,
    load: (offset, size) => {
      log.push(`load ${offset} ${size}`)
      return 5n
    },
    store: async (offset, size, value) => {
      log.push(`store ${offset} ${size} ${value}`)
    },
  }
  const result = await runGuest('wild-mmio', { devices: [device], bootargs: 'fetch=0' })
  t.deepEqual(log, ['load 0 8', 'store 0 4 1'])
  t.is(result.console, 'wild-mmio: 7 load and 7 store access faults\nwild-mmio: FAIL, 1 errors\n')
  t.is(result.cause, 'failure')
  t.is(result.exitCode, 1)
  await t.throwsAsync(runGuest('hello', { devices: [{ ...device, base: 0x8000_0000 }] }), {
    message: /recorder at 0x80000000 overlaps memory/,
  })
})

test('memory that the host unmaps is an EFAULT; after repair the machine goes on where it was', async (t) => {
  for (const paging of PAGINGS) {
    const kernel = new Kernel({ frames: 8192 })
    await kernel.run(async () => {
      const machine = await Machine.create(kernel, {
        name: 'patterns',
        program: prebuilt('patterns'),
        bootargs: 'kib=512 rounds=2',
        vm: { paging },
        budget: 200_000,
      })
      t.is((await machine.run()).cause, 'budget')
      // Pages that the guest has not reached yet: it finds zeros there and overwrites them.
      const start = machine.ram.start + 0x7_0000
      await machine.mm.munmap(start, 64 * 1024)
      machine.resume(100_000_000)
      const broken = await machine.wait()
      t.is(broken.cause, 'efault', broken.message)
      t.is(broken.exitReason, 'EFAULT')
      t.regex(broken.message, /nothing usable is mapped at hva 0x[0-9a-f]+: write of gva 0x8007/)
      machine.resume()
      t.is((await machine.wait()).cause, 'efault', 'not repaired: the same again')
      await machine.mm.mmap({ addr: start, length: 64 * 1024, fixed: true, prot: 'rw' })
      machine.resume()
      const result = await machine.wait()
      t.is(result.cause, 'shutdown', result.message)
      t.regex(result.console, /^patterns: 512 KiB, 2 rounds, checksum [0-9a-f]+\npatterns: pass\n$/)
      await machine.destroy()
    })
    kernel.assertBalanced()
  }
})

test('a guest keeps its memory while the host reclaims it', async (t) => {
  for (const paging of PAGINGS) {
    const kernel = new Kernel({ frames: 1024, swapPages: 1024 })
    let reclaimed = 0
    await kernel.run(async () => {
      const machine = await Machine.create(kernel, {
        name: 'sort',
        program: prebuilt('sort'),
        bootargs: BOOTARGS['sort']!,
        vm: { paging },
      })
      machine.start()
      kernel.spawn('reclaim', async () => {
        while (machine.running) {
          reclaimed += await kernel.reclaimPages(32)
          await kernel.sched.sleep(20_000)
        }
      })
      shutDown(t, await machine.wait(), 'sort', paging)
      await machine.destroy()
    })
    t.true(reclaimed > 150, `${reclaimed} pages were reclaimed, of 90 in use`)
    kernel.assertBalanced()
  }
})

test('every load that a hart makes gives what was stored last at that place of the mm', async (t) => {
  for (const paging of PAGINGS) {
    for (const guest of ['paging', 'smp'] as const) {
      const kernel = new Kernel({ frames: 1024, swapPages: 1024 })
      let [loads, stores] = [0, 0]
      await kernel.run(async () => {
        const mm = await kernel.createMm()
        const ram = await mm.mmap({ length: 8 * MiB })
        const golden = new Uint8Array(ram.length)
        kernel.trace.attach(
          (event) => {
            if (event.name === 'mem_store') {
              stores++
              for (let i = 0; i < event.size; i++) {
                golden[event.hva - ram.start + i] = Number((event.value >> BigInt(8 * i)) & 0xffn)
              }
            } else if (event.name === 'mem_load') {
              loads++
              let value = 0n
              for (let i = event.size - 1; i >= 0; i--)
                value = (value << 8n) | BigInt(golden[event.hva - ram.start + i]!)
              if (value !== event.value) t.fail(`${guest}, ${paging}: ${event.value} at ${event.hva}, not ${value}`)
            }
          },
          { accesses: true },
        )
        const machine = await Machine.create(kernel, {
          name: guest,
          program: prebuilt(guest),
          process: { mm, ram },
          vm: { paging },
          harts: 2,
          quantum: 500,
          bootargs: 'rounds=20 remaps=6',
        })
        machine.start()
        kernel.spawn('reclaim', async () => {
          while (machine.running) {
            await kernel.reclaimPages(16)
            await kernel.sched.sleep(20_000)
          }
        })
        t.is((await machine.wait()).cause, 'shutdown')
        await machine.destroy()
        await mm.exit()
      })
      t.true(loads > 5000 && stores > 1000, `${guest}: ${loads} loads, ${stores} stores`)
      kernel.assertBalanced()
    }
  }
})

test('harts agree under random schedules, with reclaim going on', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    for (const paging of PAGINGS) {
      const kernel = new Kernel({
        frames: 1024,
        swapPages: 1024,
        seed,
        policy: random(seed),
        pageTableLock: seed % 2 === 0 ? 'spin' : 'sleep',
      })
      await kernel.run(async () => {
        const machine = await Machine.create(kernel, {
          name: 'smp',
          program: prebuilt('smp'),
          vm: { paging },
          harts: 3,
          quantum: 300,
          bootargs: 'rounds=10 remaps=6',
        })
        machine.start()
        kernel.spawn('reclaim', async () => {
          while (machine.running) {
            await kernel.reclaimPages(16)
            await kernel.sched.sleep(5000)
          }
        })
        const result = await machine.wait()
        t.is(result.console, 'smp: lock, AMO, LR/SC, IPI, 6 remote fences\nsmp: pass\n', `seed ${seed}, ${paging}`)
        await machine.destroy()
      })
      kernel.assertBalanced()
    }
  }
})

/** A Linux Image that increments the doubleword at its byte 2048 for ever, by lr.d and sc.d. */
function counterImage(): Uint8Array {
  const asm = new Assembler()
  const image = new Uint8Array(4096)
  const view = new DataView(image.buffer)
  const words = [
    asm.word('auipc', { rd: 12, imm: 0 }),
    asm.word('addi', { rd: 12, rs1: 12, imm: 2048 - 64 }),
    asm.word('lr.d', { rd: 5, rs1: 12 }),
    asm.word('addi', { rd: 5, rs1: 5, imm: 1 }),
    asm.word('sc.d', { rd: 6, rs1: 12, rs2: 5 }),
    asm.word('jal', { rd: 0, imm: -12 }),
  ]
  view.setUint32(0, asm.word('jal', { rd: 0, imm: 64 }), true)
  for (const [i, word] of words.entries()) view.setUint32(64 + 4 * i, word, true)
  view.setBigUint64(16, BigInt(image.length), true)
  view.setUint32(56, 0x05435352, true)
  return image
}

test('an atomic of the guest never undoes a store of the host', async (t) => {
  for (const quantum of [1, 2, 3, 5]) {
    const kernel = new Kernel({ frames: 8192 })
    await kernel.run(async () => {
      const machine = await Machine.create(kernel, { name: 'counter', program: counterImage(), quantum })
      const thread = machine.mm.createThread()
      const at = machine.ram.start + 2048
      machine.start()
      for (let round = 1n; round <= 200n; round++) {
        await kernel.sched.sleep(7)
        const value = await thread.load64(at)
        if (value >> 32n !== round - 1n) t.fail(`quantum ${quantum}: store ${round - 1n} is lost`)
        await thread.store64(at, (round << 32n) | (value & 0xffff_ffffn))
      }
      await kernel.sched.sleep(100)
      t.true(((await thread.load64(at)) & 0xffff_ffffn) > 100n, 'the guest makes progress')
      thread.exit()
      await machine.destroy()
    })
    kernel.assertBalanced()
  }
})

test('bad options and programs are refused before anything is made', async (t) => {
  const kernel = new Kernel({ frames: 4096 })
  await kernel.run(async () => {
    const refused = (options: Partial<MachineOptions>, code: string, message: RegExp): Promise<unknown> =>
      t.throwsAsync(Machine.create(kernel, { name: 'm', program: prebuilt('hello'), ...options }), {
        instanceOf: KernelError,
        code,
        message,
      })
    await refused({ harts: 0 }, 'EINVAL', /harts is 0; expected 1 to 32/)
    await refused({ memory: 5000 }, 'EINVAL', /not a multiple of 4096/)
    await refused({ quantum: 0 }, 'EINVAL', /quantum is 0/)
    await refused({ memory: 16 * 1024 }, 'ENOEXEC', /lies outside memory/)
    await refused({ program: Uint8Array.of(1) }, 'ENOEXEC', /neither/)
    const program = parseProgram(prebuilt('hello'), { start: RAM_BASE, length: MiB })
    const memory = Math.max(...program.segments.map(({ gpa, memorySize }) => gpa + memorySize)) - RAM_BASE
    await refused({ memory }, 'EINVAL', /no room for its device tree/)
  })
  kernel.assertBalanced()
})
