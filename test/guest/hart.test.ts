/** A hart as an SBI guest sees it: entry state, CSRs, traps, interrupts, sret, exits. */
import test from 'ava'
import type { Gvn } from '../../src/base/index.ts'
import {
  Assembler,
  Cause,
  Cell,
  Context,
  CSR_ADDRESS,
  type CsrName,
  Exit,
  Hart,
  HartState,
  Interpreter,
  Interrupt,
  ReservationTable,
} from '../../src/guest/index.ts'
import { FlatMemory } from './hart/flat-memory.ts'
import { BASE, HANDLER, Log, TestBench } from './hart/test-bench.ts'

const INTERRUPT = 1n << 63n
const [A0, A1, T0, T1] = [10, 11, 5, 6]

test('a hart starts in S-mode with a0 its id, a1 the argument, satp 0 and interrupts off', (t) => {
  const memory = new FlatMemory(BASE, 4096)
  const hart = new Hart({ id: 2, memory, reservations: new ReservationTable(3) })
  hart.reset(0x8020_0000n, 0x8400_0000n)
  t.is(hart.register(A0), 2n)
  t.is(hart.register(A1), 0x8400_0000n)
  t.is(hart.pc, 0x8020_0000n)
  t.true(hart.supervisor)
  t.is(hart.readCsr(CSR_ADDRESS.satp), 0n)
  t.is(hart.readCsr(CSR_ADDRESS.sstatus), 2n << 32n)
  t.is(hart.readCsr(CSR_ADDRESS.sie), 0n)
  t.is(memory.context, Context.SUPERVISOR)
})

test('the state lies in the buffer that was given, halves and cells on the same bytes', (t) => {
  const buffer = new SharedArrayBuffer(4096)
  const state = new HartState(buffer, 1024)
  state.cells[Cell.pc] = 0x1122334455667788n
  t.is(state.halves[Cell.pc * 2], 0x55667788)
  t.is(new DataView(buffer).getBigUint64(1024 + Cell.pc * 8, true), 0x1122334455667788n)
})

const ones = 0xffff_ffff_ffff_ffffn
const masks: readonly (readonly [CsrName, bigint, bigint])[] = [
  ['sstatus', ones, (1n << 63n) | (2n << 32n) | 0xc6122n],
  ['sstatus', 0x4000n, (2n << 32n) | 0x4000n],
  ['sstatus', 0n, 2n << 32n],
  ['sie', ones, 0x222n],
  ['sip', ones, 0x2n],
  ['stvec', ones - 2n, ones - 2n],
  ['scounteren', ones, 7n],
  ['senvcfg', ones, 1n],
  ['sscratch', ones, ones],
  ['sepc', ones, ones - 1n],
  ['scause', ones, ones],
  ['stval', ones, ones],
  ['satp', (8n << 60n) | (0xffffn << 44n) | 0xfff_ffff_ffffn, (8n << 60n) | (0xffffn << 44n) | 0xfff_ffff_ffffn],
]
for (const [name, written, expected] of masks) {
  test(`${name} written with ${written.toString(16)} keeps its legal bits`, (t) => {
    const bench = new TestBench()
    bench.setCsr(name, written)
    t.is(bench.csr(name), expected)
  })
}

test('satp keeps its old value for an unsupported mode, and memory is told of supported ones only', (t) => {
  const bench = new TestBench()
  const sv39 = (8n << 60n) | 0x80000n
  bench.setCsr('satp', sv39)
  for (const mode of [1n, 7n, 10n, 11n, 15n]) bench.setCsr('satp', (mode << 60n) | 0x99n)
  t.is(bench.csr('satp'), sv39)
  t.is(bench.memory.satp, sv39)
  bench.setCsr('satp', 9n << 60n)
  t.is(bench.memory.satp, 9n << 60n)
})

test('satp holds only the ASID bits that are implemented', (t) => {
  const memory = new FlatMemory(BASE, 4096)
  const satp = { modes: [0, 8, 9, 10], asidBits: 4 }
  const hart = new Hart({ id: 0, memory, reservations: new ReservationTable(1), satp })
  hart.writeCsr(CSR_ADDRESS.satp, (10n << 60n) | (0xffffn << 44n))
  t.is(hart.readCsr(CSR_ADDRESS.satp), (10n << 60n) | (0xfn << 44n))
})

test('stvec keeps its old value for a reserved mode', (t) => {
  const bench = new TestBench()
  bench.setCsr('stvec', 0x9000n + 3n)
  t.is(bench.csr('stvec'), BigInt(HANDLER))
})

test('absent, M-mode and read-only CSRs raise illegal-instruction with the instruction in stval', (t) => {
  const cases: readonly (readonly [string, number, number])[] = [
    ['csrrs', 0x300, 0],
    ['csrrs', 0x3a0, 0],
    ['csrrs', 0xf14, 0],
    ['csrrs', 0x200, 0],
    ['csrrs', 0x680, 0],
    ['csrrs', 0x14d, 0],
    ['csrrs', 0xc03, 0],
    ['csrrs', 0x001, 0],
    ['csrrs', 0x008, 0],
    ['csrrw', 0xc00, 0],
    ['csrrs', 0xc02, 5],
    ['csrrci', 0xc01, 1],
  ]
  for (const [name, imm, rs1] of cases) {
    const bench = new TestBench().at(BASE).put(name, { rd: T0, rs1, imm })
    bench.hart.setRegister(T0, 77n)
    bench.engine.run(1)
    t.is(bench.csr('scause'), BigInt(Cause.ILLEGAL_INSTRUCTION), `${name} ${imm.toString(16)}`)
    t.is(bench.csr('stval'), BigInt(new Assembler().word(name, { rd: T0, rs1, imm })))
    t.is(bench.hart.register(T0), 77n)
    t.is(bench.hart.instret, 0)
  }
})

test('set and clear with x0 only read, write with rd x0 only writes, and rd sees the old value', (t) => {
  const bench = new TestBench().at(BASE)
  bench.put('csrrs', { rd: T0, rs1: 0, imm: CSR_ADDRESS.cycle })
  bench.put('csrrw', { rd: T1, rs1: A0, imm: CSR_ADDRESS.sscratch })
  bench.put('csrrsi', { rd: T1, rs1: 0x11, imm: CSR_ADDRESS.sscratch })
  bench.put('csrrc', { rd: A0, rs1: A0, imm: CSR_ADDRESS.sscratch })
  bench.hart.setRegister(A0, 0xf0n)
  t.is(bench.engine.run(4), Exit.INTR)
  t.is(bench.hart.instret, 4)
  t.is(bench.hart.register(T1), 0xf0n)
  t.is(bench.hart.register(A0), 0xf1n)
  t.is(bench.csr('sscratch'), 1n)
})

test('U-mode reads the counters that scounteren names, and no other CSR', (t) => {
  for (const [imm, enabled] of [
    [0xc00, 1n],
    [0xc01, 2n],
    [0xc02, 4n],
  ] as const) {
    for (const scounteren of [enabled, 7n & ~enabled]) {
      const bench = new TestBench().at(BASE).put('csrrs', { rd: T0, imm, rs1: 0 }).user()
      bench.setCsr('scounteren', scounteren)
      bench.engine.run(1)
      t.is(bench.csr('scause'), scounteren === enabled ? 0n : 2n)
      t.is(bench.hart.instret, scounteren === enabled ? 1 : 0)
    }
  }
  const bench = new TestBench().at(BASE).put('csrrs', { rd: T0, imm: CSR_ADDRESS.sscratch, rs1: 0 }).user()
  bench.engine.run(1)
  t.is(bench.csr('scause'), 2n)
})

test('instret counts what retired before it; time comes from the clock', (t) => {
  const memory = new FlatMemory(BASE, 4096)
  const clock = { time: (instret: number) => BigInt(1000 + instret * 10) }
  const hart = new Hart({ id: 0, memory, reservations: new ReservationTable(1), clock })
  t.is(hart.readCsr(CSR_ADDRESS.time), 1000n)
  const bench = new TestBench().at(BASE).put('addi').put('addi')
  bench.put('csrrs', { rd: T0, rs1: 0, imm: CSR_ADDRESS.instret })
  bench.engine.run(3)
  t.is(bench.hart.register(T0), 2n)
})

test('stimecmp is there if the clock compares: writing it retires, leaves to the run loop, and sets or clears the interrupt', (t) => {
  const compared: bigint[] = []
  const clock = { time: (): bigint => 1000n, setCompare: (ticks: bigint): number => compared.push(ticks) }
  const memory = new FlatMemory(BASE, 4096)
  const hart = new Hart({ id: 0, memory, reservations: new ReservationTable(1), clock })
  hart.reset(BigInt(BASE), 0n)
  t.is(hart.readCsr(CSR_ADDRESS.stimecmp), ones)
  const write = new Assembler().word('csrrw', { rd: T0, rs1: A0, imm: CSR_ADDRESS.stimecmp })
  for (const at of [0, 4, 8]) memory.bytes.write32(at as never, write)
  const engine = new Interpreter(hart)
  const pending: boolean[] = []
  for (const value of [1000n, 1001n, 5n]) {
    hart.setRegister(A0, value)
    t.is(engine.run(10), Exit.RISCV_CSR)
    pending.push(hart.readCsr(CSR_ADDRESS.sip) === 0x20n)
  }
  t.deepEqual(pending, [true, false, true])
  t.deepEqual(compared, [1000n, 1001n, 5n])
  t.is(hart.register(T0), 1001n)
  t.is(hart.pc, BigInt(BASE + 12))
  t.is(hart.instret, 3)
})

test('floating point is illegal while FS is Off, and makes FS Dirty when it changes something', (t) => {
  const attempts: readonly (readonly [string, (b: TestBench) => TestBench, boolean])[] = [
    ['fadd.s', (b) => b.put('fadd.s', { rd: 1, rs1: 2, rs2: 3, rm: 0 }), true],
    ['fld', (b) => b.put('fld', { rd: 1, rs1: A1 }), true],
    ['c.fld', (b) => b.put('c.fld', { rd: 8, rs1: 11 }), true],
    ['fsd', (b) => b.put('fsd', { rs2: 1, rs1: A1 }), false],
    ['fmv.x.d', (b) => b.put('fmv.x.d', { rd: T0, rs1: 1 }), false],
    ['feq.d of numbers', (b) => b.put('feq.d', { rd: T0, rs1: 1, rs2: 2 }), false],
    ['flt.s of what is no boxed single', (b) => b.put('flt.s', { rd: T0, rs1: 1, rs2: 2 }), true],
    ['csrrs of frm', (b) => b.put('csrrs', { rd: T0, imm: CSR_ADDRESS.frm }), false],
    ['csrrw of fflags', (b) => b.put('csrrw', { rd: T0, imm: CSR_ADDRESS.fflags }), true],
  ]
  for (const [name, program, dirties] of attempts) {
    for (const fs of [0n, 1n, 2n, 3n]) {
      const bench = program(new TestBench().at(BASE))
      bench.hart.setRegister(A1, 0x8000_2000n)
      bench.setCsr('sstatus', fs << 13n)
      bench.engine.run(1)
      t.is(bench.csr('scause'), fs === 0n ? 2n : 0n, name)
      const after = fs !== 0n && dirties ? 3n : fs
      t.is((bench.csr('sstatus') >> 13n) & 3n, after, name)
      t.is(bench.csr('sstatus') >> 63n, after === 3n ? 1n : 0n, name)
    }
  }
})

test('a reserved rounding mode in frm makes those instructions illegal that take it from there', (t) => {
  for (const [name, rm, legal] of [
    ['fmul.d', 7, false],
    ['fmul.d', 1, true],
    ['fcvt.d.w', 7, false],
    ['fcvt.w.d', 7, false],
  ] as const) {
    for (const frm of [5n, 6n, 7n]) {
      const operands = name === 'fmul.d' ? { rd: 1, rs1: 2, rs2: 3, rm } : { rd: 6, rs1: 2, rm }
      const bench = new TestBench().at(BASE).put(name, operands)
      bench.setCsr('sstatus', 0x6000n)
      bench.setCsr('frm', frm)
      bench.engine.run(1)
      t.is(bench.csr('scause'), legal ? 0n : 2n, `${name} rm=${rm} frm=${frm}`)
    }
  }
})

test('a device completes a load of a single boxed, and takes a stored one', (t) => {
  const bench = new TestBench().at(BASE).put('flw', { rd: 3, rs1: A1 }).put('fsw', { rs2: 3, rs1: A1 })
  bench.memory.exits.add(0x10000)
  bench.hart.setRegister(A1, 0x1000_0000n)
  bench.setCsr('sstatus', 0x2000n)
  t.is(bench.engine.run(2), Exit.MEMORY_FAULT)
  bench.hart.completeLoad(0x3f80_0000n)
  t.is(bench.hart.floatRegister(3), 0xffff_ffff_3f80_0000n)
  t.is((bench.csr('sstatus') >> 13n) & 3n, 3n)
  t.is(bench.engine.run(1), Exit.MEMORY_FAULT)
  t.is(bench.hart.pending.value, 0x3f80_0000n)
})

const traps: readonly (readonly [string, (b: TestBench) => TestBench, number, bigint])[] = [
  ['an illegal 32-bit word', (b) => b.word(0xffff_ffff), 2, 0xffff_ffffn],
  ['an illegal 16-bit word', (b) => b.word(0x8000), 2, 0x8000n],
  ['mret', (b) => b.word(0x3020_0073), 2, 0x3020_0073n],
  ['ebreak', (b) => b.put('ebreak'), 3, 0n],
  ['c.ebreak', (b) => b.put('c.ebreak'), 3, 0n],
  ['a misaligned lr', (b) => b.put('lr.w', { rd: T0, rs1: A1 }), 4, 0x8000_2002n],
  ['a misaligned sc', (b) => b.put('sc.d', { rd: T0, rs1: A1, rs2: T1 }), 6, 0x8000_2002n],
  ['a misaligned amo', (b) => b.put('amoadd.w', { rd: T0, rs1: A1, rs2: T1 }), 6, 0x8000_2002n],
  ['a load from nowhere', (b) => b.put('ld', { rd: T0, rs1: 0, imm: 8 }), 5, 8n],
  ['a store to nowhere', (b) => b.put('sb', { rs1: 0, rs2: T0, imm: -1 }), 7, ones],
  ['an amo to nowhere', (b) => b.put('amoor.d', { rd: T0, rs1: 0, rs2: T1 }), 7, 0n],
]
for (const supervisor of [true, false]) {
  const mode = supervisor ? 'S' : 'U'
  for (const [what, program, cause, value] of traps) {
    test(`${what} in ${mode}-mode traps with cause ${cause}, does not retire and changes no register`, (t) => {
      const bench = program(new TestBench().at(BASE))
      if (!supervisor) bench.user()
      bench.hart.setRegister(A1, 0x8000_2002n)
      bench.hart.setRegister(T0, 5n)
      bench.setCsr('sstatus', 2n)
      t.is(bench.engine.run(1), Exit.INTR)
      t.is(bench.csr('scause'), BigInt(cause))
      t.is(bench.csr('stval'), value)
      t.is(bench.csr('sepc'), BigInt(BASE))
      t.is(bench.hart.pc, BigInt(HANDLER))
      t.is(bench.csr('sstatus'), (2n << 32n) | 0x20n | (supervisor ? 0x100n : 0n))
      t.true(bench.hart.supervisor)
      t.is(bench.memory.context, Context.SUPERVISOR)
      t.is(bench.hart.register(T0), 5n)
      t.is(bench.hart.instret, 0)
    })
  }
}

test('supervisor instructions are illegal in U-mode, and ecall goes to the guest itself', (t) => {
  for (const [name, cause] of [
    ['sret', 2n],
    ['wfi', 2n],
    ['sfence.vma', 2n],
    ['ecall', 8n],
  ] as const) {
    const bench = new TestBench().at(BASE).put(name).user()
    t.is(bench.engine.run(1), Exit.INTR)
    t.is(bench.csr('scause'), cause, name)
    t.is(bench.memory.fences.length, 0)
  }
})

test('exceptions go to the base of a vectored stvec, interrupts to their own entry', (t) => {
  const bench = new TestBench().at(BASE).word(0)
  bench.setCsr('stvec', BigInt(HANDLER) + 1n)
  bench.engine.run(1)
  t.is(bench.hart.pc, BigInt(HANDLER))
  const other = new TestBench()
  other.setCsr('stvec', BigInt(HANDLER) + 1n)
  other.setCsr('sstatus', 2n)
  other.setCsr('sie', 0x20n)
  other.hart.setInterrupt(Interrupt.TIMER, true)
  other.at(HANDLER + 20).put('addi', { rd: T0, rs1: 0, imm: 3 })
  other.engine.run(1)
  t.is(other.hart.register(T0), 3n)
  t.is(other.csr('scause'), INTERRUPT | 5n)
})

test('external comes before software before timer', (t) => {
  const bench = new TestBench()
  bench.setCsr('sie', 0x222n)
  for (const line of [Interrupt.TIMER, Interrupt.SOFTWARE, Interrupt.EXTERNAL]) {
    bench.hart.setInterrupt(line, true)
    bench.setCsr('sstatus', 2n)
    t.is(bench.hart.takeableInterrupt(), line)
  }
})

test('an interrupt is taken only if pending, enabled, and not masked: always in U-mode, with SIE in S-mode', (t) => {
  for (const supervisor of [true, false]) {
    for (const sie of [0n, 2n]) {
      for (const enabled of [0n, 0x200n]) {
        const bench = new TestBench().at(BASE).put('addi')
        if (!supervisor) bench.user()
        bench.setCsr('sstatus', sie)
        bench.setCsr('sie', enabled)
        bench.hart.setInterrupt(Interrupt.EXTERNAL, true)
        bench.at(HANDLER).put('addi', { rd: T0, rs1: 0, imm: 1 })
        bench.engine.run(1)
        const taken = enabled !== 0n && (!supervisor || sie !== 0n)
        t.is(bench.hart.register(T0), taken ? 1n : 0n)
        t.is(bench.csr('scause'), taken ? INTERRUPT | 9n : 0n)
        t.is(bench.csr('stval'), 0n)
      }
    }
  }
})

test('an instruction that enables a pending interrupt is the last before the handler', (t) => {
  const enabling: readonly (readonly [string, (b: TestBench) => void])[] = [
    ['sstatus', (b) => b.put('csrrsi', { rd: 0, rs1: 2, imm: CSR_ADDRESS.sstatus })],
    ['sie', (b) => b.put('csrrw', { rd: 0, rs1: A0, imm: CSR_ADDRESS.sie })],
    ['sip', (b) => b.put('csrrsi', { rd: 0, rs1: 2, imm: CSR_ADDRESS.sip })],
  ]
  for (const [name, program] of enabling) {
    const bench = new TestBench().at(BASE)
    program(bench)
    bench.put('addi', { rd: T0, rs1: 0, imm: 9 })
    bench.hart.setRegister(A0, 2n)
    bench.setCsr('sstatus', name === 'sstatus' ? 0n : 2n)
    bench.setCsr('sie', name === 'sie' ? 0n : 2n)
    bench.setCsr('sip', name === 'sip' ? 0n : 2n)
    bench.at(HANDLER).put('addi')
    bench.engine.run(2)
    t.is(bench.csr('scause'), INTERRUPT | 1n, name)
    t.is(bench.csr('sepc'), BigInt(BASE + 4))
    t.is(bench.hart.register(T0), 0n)
  }
})

test('a guest can clear its software interrupt but neither of the others', (t) => {
  const bench = new TestBench()
  for (const line of [1, 5, 9] as const) bench.hart.setInterrupt(line, true)
  t.is(bench.csr('sip'), 0x222n)
  bench.setCsr('sip', 0n)
  t.is(bench.csr('sip'), 0x220n)
})

test('sret returns to sepc in the mode of SPP, restores SIE and leaves SPP user and SPIE set', (t) => {
  for (const [status, supervisor, after] of [
    [0x100n, true, 0x20n],
    [0x120n, true, 0x22n],
    [0x020n, false, 0x22n],
    [0x002n, false, 0x20n],
  ] as const) {
    const bench = new TestBench().at(BASE).put('sret')
    bench.setCsr('sstatus', status | 0xc0000n)
    bench.setCsr('sepc', 0x8000_0103n)
    bench.engine.run(1)
    t.is(bench.hart.supervisor, supervisor)
    t.is(bench.csr('sstatus'), (2n << 32n) | 0xc0000n | after)
    t.is(bench.hart.pc, 0x8000_0102n)
    t.is(bench.memory.context, Context.SUM | Context.MXR | (supervisor ? Context.SUPERVISOR : 0))
    t.is(bench.hart.instret, 1)
  }
})

test('an interrupt that sret unmasks is taken before the next instruction', (t) => {
  const bench = new TestBench().at(BASE).put('sret')
  bench.setCsr('sie', 2n)
  bench.setCsr('sip', 2n)
  bench.setCsr('sepc', BigInt(BASE + 64))
  bench.at(HANDLER).put('addi', { rd: T0, rs1: 0, imm: 1 })
  bench.engine.run(2)
  t.is(bench.csr('sepc'), BigInt(BASE + 64))
  t.is(bench.hart.register(T0), 1n)
  t.is(bench.csr('sstatus') & 0x100n, 0n)
})

test('SUM and MXR reach the memory as soon as they are written', (t) => {
  const bench = new TestBench().at(BASE).put('csrrs', { rd: 0, rs1: A0, imm: CSR_ADDRESS.sstatus })
  bench.hart.setRegister(A0, 0xc0000n)
  bench.engine.run(1)
  t.is(bench.memory.context, Context.SUPERVISOR | Context.SUM | Context.MXR)
})

test('ecall in S-mode exits at the instruction; completing it goes on behind it without retiring', (t) => {
  const bench = new TestBench().at(BASE).put('ecall').put('addi', { rd: T0, rs1: 0, imm: 4 })
  t.is(bench.engine.run(10), Exit.RISCV_SBI)
  t.is(bench.hart.pc, BigInt(BASE))
  t.is(bench.engine.run(10), Exit.RISCV_SBI)
  bench.hart.completeEcall()
  bench.engine.run(1)
  t.is(bench.hart.register(T0), 4n)
  t.is(bench.hart.instret, 1)
})

test('wfi exits behind itself unless an enabled interrupt is pending, masked or not', (t) => {
  const bench = new TestBench().at(BASE).put('wfi').put('wfi')
  t.is(bench.engine.run(5), Exit.HLT)
  t.is(bench.hart.pc, BigInt(BASE + 4))
  t.is(bench.hart.instret, 1)
  bench.setCsr('sie', 0x20n)
  bench.hart.setInterrupt(Interrupt.TIMER, true)
  t.true(bench.hart.wakes())
  t.is(bench.engine.run(1), Exit.INTR)
  t.is(bench.hart.pc, BigInt(BASE + 8))
})

test('ebreak in a debugged hart exits at the instruction, whatever the mode', (t) => {
  for (const name of ['ebreak', 'c.ebreak']) {
    const bench = new TestBench().at(BASE).put(name).user()
    bench.hart.debugged = true
    t.is(bench.engine.run(2), Exit.DEBUG)
    t.is(bench.hart.pc, BigInt(BASE))
    t.is(bench.csr('scause'), 0n)
  }
})

test('sfence.vma names the page and the address space, -1 for all', (t) => {
  const bench = new TestBench().at(BASE)
  bench.put('sfence.vma').put('sfence.vma', { rs1: A0 }).put('sfence.vma', { rs1: A0, rs2: A1 })
  bench.hart.setRegister(A0, 0xffff_ffff_ffff_f123n)
  bench.hart.setRegister(A1, 0x1_0007n)
  bench.engine.run(3)
  t.deepEqual(bench.memory.fences, [
    [-1, -1],
    [2 ** 52 - 1, -1],
    [2 ** 52 - 1, 7],
  ])
})

test('a miss that needs the host exits at the instruction with nothing changed, and can be tried again', (t) => {
  const bench = new TestBench().at(BASE).put('ld', { rd: A0, rs1: A1, imm: 8 })
  bench.hart.setRegister(A1, 0x8000_3000n)
  bench.memory.exits.add(0x80003)
  t.is(bench.engine.run(3), Exit.MEMORY_FAULT)
  const { kind, gva, size, signed, rd, atomic, crossing } = bench.hart.pending
  t.deepEqual([kind, gva, size, signed, rd, atomic, crossing], ['read', 0x8000_3008n, 8, true, A0, false, false])
  t.is(bench.hart.pc, BigInt(BASE))
  t.is(bench.hart.instret, 0)
  bench.memory.exits.clear()
  bench.bytes.write64(0x3008 as never, 99n)
  bench.engine.run(1)
  t.is(bench.hart.register(A0), 99n)
})

test('an atomic that needs the host says so, and cannot be completed as a device access', (t) => {
  for (const [name, complete] of [
    ['lr.w', (b: TestBench) => b.hart.completeLoad(0n)],
    ['sc.w', (b: TestBench) => b.hart.completeStore()],
    ['amoswap.w', (b: TestBench) => b.hart.completeStore()],
  ] as const) {
    const bench = new TestBench().at(BASE).put(name, { rd: T0, rs1: A1 })
    bench.hart.setRegister(A1, 0x8000_3000n)
    bench.memory.exits.add(0x80003)
    t.is(bench.engine.run(1), Exit.MEMORY_FAULT)
    t.true(bench.hart.pending.atomic)
    t.throws(() => complete(bench), { message: /no plain/ })
  }
})

test('a device completes loads of each width with their extension, and stores with their bytes', (t) => {
  const loads: readonly (readonly [string, bigint])[] = [
    ['lb', 0xffff_ffff_ffff_ff80n],
    ['lbu', 0x80n],
    ['lh', 0xffff_ffff_ffff_8180n],
    ['lhu', 0x8180n],
    ['lw', 0xffff_ffff_8382_8180n],
    ['lwu', 0x8382_8180n],
    ['ld', 0x8786_8584_8382_8180n],
  ]
  for (const [name, expected] of loads) {
    const bench = new TestBench().at(BASE).put(name, { rd: T0, rs1: A1, imm: 0 })
    bench.hart.setRegister(A1, 0x8000_3000n)
    bench.memory.exits.add(0x80003)
    bench.engine.run(1)
    bench.hart.completeLoad(0x8786_8584_8382_8180n)
    t.is(bench.hart.register(T0), expected, name)
    t.is(bench.hart.pc, BigInt(BASE + 4))
    t.is(bench.hart.instret, 1)
  }
  const bench = new TestBench().at(BASE).put('c.sw', { rs1: A1, rs2: A0, imm: 0 })
  bench.hart.setRegister(A0, ones)
  bench.hart.setRegister(A1, 0x8000_3000n)
  bench.memory.exits.add(0x80003)
  bench.engine.run(1)
  t.is(bench.hart.pending.value, 0xffff_ffffn)
  t.throws(() => bench.hart.completeLoad(0n), { message: /no plain load/ })
  bench.hart.completeStore()
  t.is(bench.hart.pc, BigInt(BASE + 2))
})

test('a fetch that needs the host names the page, also when only the second half misses', (t) => {
  const bench = new TestBench().at(BASE + 4094).word(0x0000_0013)
  bench.hart.pc = BigInt(BASE + 4094)
  bench.memory.exits.add(0x80001)
  t.is(bench.engine.run(1), Exit.MEMORY_FAULT)
  t.is(bench.hart.pending.kind, 'fetch')
  t.is(bench.hart.pending.gva, BigInt(BASE + 4096))
  t.is(bench.hart.pc, BigInt(BASE + 4094))
  bench.memory.exits.clear()
  bench.engine.run(1)
  t.is(bench.hart.pc, BigInt(BASE + 4098))
})

test('a fetch fault in the second half of an instruction reports the second page', (t) => {
  const bench = new TestBench().at(BASE + 0xfffe).word(0x0000_0013)
  bench.hart.pc = BigInt(BASE + 0xfffe)
  bench.engine.run(1)
  t.is(bench.csr('scause'), BigInt(Cause.INSTRUCTION_ACCESS_FAULT))
  t.is(bench.csr('sepc'), BigInt(BASE + 0xfffe))
  t.is(bench.csr('stval'), BigInt(BASE + 0x10000))
})

test('a misaligned access that crosses into a missing page stores nothing and reports that page', (t) => {
  const bench = new TestBench().at(BASE).put('sd', { rs1: A1, rs2: T0, imm: 0 })
  bench.hart.setRegister(A1, 0x8000_fffdn)
  bench.hart.setRegister(T0, ones)
  bench.engine.run(1)
  t.is(bench.csr('stval'), 0x8001_0000n)
  t.is(bench.bytes.read8(0xfffd as never), 0)
  const exit = new TestBench().at(BASE).put('sd', { rs1: A1, rs2: T0, imm: 0 })
  exit.hart.setRegister(A1, 0x8000_2ffdn)
  exit.memory.exits.add(0x80003)
  t.is(exit.engine.run(1), Exit.MEMORY_FAULT)
  t.true(exit.hart.pending.crossing)
  t.is(exit.hart.pending.start, 0x8000_2ffdn)
  t.is(exit.hart.pending.gva, 0x8000_3000n)
})

test('addresses wrap around at 2^64', (t) => {
  const bench = new TestBench().at(BASE).put('ld', { rd: T0, rs1: A1, imm: 4 })
  bench.hart.setRegister(A1, ones - 5n)
  bench.engine.run(1)
  t.is(bench.csr('stval'), ones - 1n)
  const forward = new TestBench().at(BASE).put('lw', { rd: T0, rs1: A1, imm: 12 })
  forward.hart.setRegister(A1, ones - 3n)
  forward.engine.run(1)
  t.is(forward.csr('stval'), 8n)
  const pc = new TestBench()
  pc.hart.pc = ones - 1n
  pc.engine.run(1)
  t.is(pc.csr('stval'), ones - 1n)
})

test('pc carries and borrows between its halves', (t) => {
  const memory = new FlatMemory(0xffff_f000, 8192)
  const hart = new Hart({ id: 0, memory, reservations: new ReservationTable(1) })
  const engine = new Interpreter(hart)
  const asm = new Assembler()
  hart.reset(0xffff_fffcn, 0n)
  memory.bytes.write32(0xffc as never, asm.word('addi', {}))
  memory.bytes.write32(0x1000 as never, asm.word('beq', { imm: 0x20 }))
  memory.bytes.write32(0x1020 as never, asm.word('beq', { imm: -0x30 }))
  memory.bytes.write32(0xff0 as never, asm.word('beq', { imm: 0x14 }))
  const seen: bigint[] = []
  for (let n = 0; n < 4; n++) {
    engine.run(1)
    seen.push(hart.pc)
  }
  t.deepEqual(seen, [0x1_0000_0000n, 0x1_0000_0020n, 0xffff_fff0n, 0x1_0000_0004n])
})

test('a change of privilege by trap or sret is obeyed by the very next fetch, in the same page', (t) => {
  class UserCode extends FlatMemory {
    override translateFetch(page: Gvn): number {
      if ((this.context & Context.SUPERVISOR) === 0) return super.translateFetch(page)
      this.missCause = Cause.INSTRUCTION_PAGE_FAULT
      return -1
    }
  }
  const memory = new UserCode(BASE, 4096)
  const hart = new Hart({ id: 0, memory, reservations: new ReservationTable(1) })
  hart.reset(BigInt(BASE), 0n)
  hart.writeCsr(CSR_ADDRESS.sepc, BigInt(BASE))
  hart.writeCsr(CSR_ADDRESS.stvec, BigInt(BASE + 8))
  hart.sret()
  t.false(hart.supervisor)
  memory.bytes.write32(0 as never, new Assembler().word('ecall'))
  memory.bytes.write32(8 as never, new Assembler().word('addi', { rd: T0, rs1: 0, imm: 1 }))
  new Interpreter(hart).run(2)
  t.is(hart.register(T0), 0n)
  t.is(hart.readCsr(CSR_ADDRESS.scause), BigInt(Cause.INSTRUCTION_PAGE_FAULT))
})

test('the budget counts tried instructions, so that a handler that cannot be fetched ends', (t) => {
  const bench = new TestBench().at(BASE).word(0)
  bench.setCsr('stvec', 0x10n)
  t.is(bench.engine.run(100), Exit.INTR)
  t.is(bench.hart.instret, 0)
  t.is(bench.hart.pc, 0x10n)
})

test('code that stores over the next instruction runs the new one', (t) => {
  const bench = new TestBench().at(BASE)
  bench.put('sw', { rs1: A0, rs2: A1, imm: 4 }).put('addi', { rd: T0, rs1: 0, imm: 1 })
  bench.hart.setRegister(A0, BigInt(BASE))
  bench.hart.setRegister(A1, BigInt(new Assembler().word('addi', { rd: T0, rs1: 0, imm: 2 })))
  bench.engine.run(2)
  t.is(bench.hart.register(T0), 2n)
})

test('the observer sees each access once, misaligned ones byte by byte, failed ones not at all', (t) => {
  const bench = new TestBench().at(BASE)
  bench.put('sh', { rs1: A1, rs2: A0, imm: 0 }).put('lhu', { rd: T0, rs1: A1, imm: 0 })
  bench.put('amoadd.w', { rd: T0, rs1: A1, rs2: A0 }).put('lh', { rd: T0, rs1: A1, imm: 1 })
  bench.put('lr.d', { rd: T0, rs1: A1 }).put('sc.d', { rd: T0, rs1: A1, rs2: A0 }).put('ld', { rd: T0, rs1: 0, imm: 0 })
  const log = new Log()
  bench.hart.observer = log
  bench.hart.setRegister(A0, 0x1_0203n)
  bench.hart.setRegister(A1, 0x8000_2000n)
  bench.engine.run(7)
  t.deepEqual(log.lines, [
    'store 80002000 @2000 2 203',
    'load 80002000 @2000 2 203',
    'load 80002000 @2000 4 203',
    'store 80002000 @2000 4 10406',
    'load 80002001 @2001 1 4',
    'load 80002002 @2002 1 1',
    'load 80002000 @2000 8 10406',
    'store 80002000 @2000 8 10203',
  ])
})

// Load-reserved and store-conditional.

/** Runs lr on hart 0, then `between`, then sc; returns whether the sc succeeded. */
function succeeds(between: (b: TestBench) => void, harts = 2): boolean {
  const bench = new TestBench(harts)
  bench.at(BASE).put('lr.w', { rd: T0, rs1: A1 }).put('sc.w', { rd: T0, rs1: A1, rs2: A0 })
  bench.hart.setRegister(A1, 0x8000_2004n)
  for (const hart of bench.harts.slice(1)) hart.setRegister(A1, 0x8000_2004n)
  bench.engine.run(1)
  between(bench)
  bench.engine.run(1)
  return bench.hart.register(T0) === 0n
}

/** Runs one store of hart 1. */
function otherStores(b: TestBench, name: string, imm: number): void {
  b.at(BASE + 0x100).put(name, { rs1: A1, rs2: A0, imm })
  const [, hart] = b.harts as [Hart, Hart]
  hart.pc = BigInt(BASE + 0x100)
  b.engines[1]?.run(1)
}

test('sc after lr succeeds, also across the end of a quantum, interrupts and other loads', (t) => {
  t.true(succeeds(() => {}))
  t.true(
    succeeds((b) => {
      b.hart.setInterrupt(Interrupt.TIMER, true)
      b.hart.setInterrupt(Interrupt.TIMER, false)
    }),
  )
})

test("sc fails after another hart's store into the doubleword, and not after one beside it", (t) => {
  t.false(succeeds((b) => otherStores(b, 'sw', 0)))
  t.false(succeeds((b) => otherStores(b, 'sb', -4)))
  t.false(succeeds((b) => otherStores(b, 'sd', -7)))
  t.true(succeeds((b) => otherStores(b, 'sb', 4)))
  t.true(succeeds((b) => otherStores(b, 'sb', -5)))
})

test('sc fails after the reservation was dropped by the MMU, and after a store by the host', (t) => {
  t.false(succeeds((b) => b.hart.clearReservation()))
  t.false(succeeds((b) => b.reservations.store(-1, 0x2000, 8)))
})

test("a hart's own store leaves its reservation", (t) => {
  t.true(succeeds((b) => b.reservations.store(0, 0x2004, 4)))
})

test('sc fails without lr, after another sc, at another address, and with another size', (t) => {
  const bench = new TestBench().at(BASE)
  bench.put('sc.w', { rd: T0, rs1: A1, rs2: A0 })
  bench
    .put('lr.w', { rd: T1, rs1: A1 })
    .put('sc.w', { rd: 20, rs1: A0, rs2: A0 })
    .put('sc.w', { rd: 21, rs1: A1, rs2: A0 })
  bench.put('lr.w', { rd: T1, rs1: A0 }).put('sc.d', { rd: 22, rs1: A0, rs2: A0 })
  bench
    .put('lr.d', { rd: T1, rs1: A0 })
    .put('sc.d', { rd: 23, rs1: A0, rs2: A0 })
    .put('sc.d', { rd: 24, rs1: A0, rs2: A0 })
  bench.hart.setRegister(A0, 0x8000_2000n)
  bench.hart.setRegister(A1, 0x8000_2004n)
  bench.engine.run(9)
  const results = [T0, 20, 21, 22, 23, 24].map((n) => bench.hart.register(n))
  t.deepEqual(results, [1n, 1n, 1n, 1n, 0n, 1n])
  t.is(bench.reservations.live, 0)
})

test('of two harts with a reservation on one word, the first sc wins', (t) => {
  const bench = new TestBench(2).at(BASE)
  bench.put('lr.d', { rd: T0, rs1: A1 }).put('sc.d', { rd: T0, rs1: A1, rs2: A0 })
  for (const hart of bench.harts) hart.setRegister(A1, 0x8000_2000n)
  for (const engine of bench.engines) engine.run(1)
  for (const engine of bench.engines) engine.run(1)
  t.deepEqual(
    bench.harts.map((hart) => hart.register(T0)),
    [0n, 1n],
  )
})

const COUNTS: readonly (readonly [string, bigint, bigint])[] = [
  ['ctzw', 1n << 63n, 32n],
  ['ctzw', 1n << 32n, 32n],
  ['ctzw', (1n << 40n) | 8n, 3n],
  ['ctz', 0n, 64n],
  ['clz', 0n, 64n],
  ['clzw', 1n << 40n, 32n],
  ['cpopw', ones, 32n],
]

test('zeros and ones of a word are counted in its lower half, whatever the upper one holds', (t) => {
  for (const [name, operand, expected] of COUNTS) {
    const bench = new TestBench().at(BASE).put(name, { rd: T0, rs1: A0 })
    bench.hart.setRegister(A0, operand)
    bench.engine.run(1)
    t.is(bench.hart.register(T0), expected, `${name} of ${operand.toString(16)}`)
  }
})
