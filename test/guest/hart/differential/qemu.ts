/**
 * Runs thousands of differential cases in one run of qemu-system-riscv64.
 *
 * QEMU's RAM is a shared file: it is written before the start and read after the end. A small M-mode program, assembled
 * from the table, takes case after case: it restores the arena, sets the state, enters S-mode or U-mode, and on the
 * ecall from S-mode that ends every program writes the state over the case.
 */
import { Assembler, CSR_ADDRESS } from '../../../../src/guest/index.ts'
import { address, ARENA, ARENA_BYTES, HASH_FACTOR, MUTABLE_BYTES, Page, RAM } from './arena.ts'
import { assembleProgram, type Case, CASE_CSRS, CASE_STATUS, type CaseCsr, CODE_BYTES, type Outcome } from './case.ts'
import { Code } from './code.ts'
import { RAM_BYTES, runImage } from './qemu-machine.ts'

/** A case in memory: doublewords of registers, then these, then the code. */
const Slot = { PC: 32, STATUS: 33, CSRS: 34, HASH: 45, CAUSE: 46, CODE_AT: 47, FLOATS: 48, CODE: 80 } as const
const CASE_BYTES = 1280
const TEMPLATE = ARENA + 0x10_0000
const CASES = ARENA + 0x20_0000
const DATA = address(Page.DATA_U)
const CLINT_TIME = 0x0200_bff8
const CLINT_COMPARE = 0x0200_4000
/** 10 MHz ticks: half a second, which only an endless case uses up. */
const TIME_LIMIT = 5_000_000

const M = { mstatus: 0x300, medeleg: 0x302, mideleg: 0x303, mie: 0x304, mtvec: 0x305, mcounteren: 0x306 } as const
const M_TRAP = { mscratch: 0x340, mepc: 0x341, mcause: 0x342, mip: 0x344, pmpcfg0: 0x3a0, pmpaddr0: 0x3b0 } as const
const MRET = 0x30200073
/** mstatus.FS, all bits. */
const FS = 0x6000

/** The M-mode program. x5 is the case at hand. */
function shim(count: number): Uint8Array {
  const c = new Code()
  // PMP: nothing below the arena, code read and execute, data read and write, tables read-only, nothing above.
  const bounds = [ARENA, DATA, ARENA + MUTABLE_BYTES, ARENA + ARENA_BYTES]
  bounds.forEach((bound, n) => c.li(6, bound / 4).csrw(M_TRAP.pmpaddr0 + n, 6))
  c.li(6, 0x090b0d08).csrw(M_TRAP.pmpcfg0, 6)
  c.li(6, 0xb1ff).csrw(M.medeleg, 6)
  c.li(6, 0x222).csrw(M.mideleg, 6)
  c.li(6, 7).csrw(M.mcounteren, 6)
  c.li(6, 0x80).csrw(M.mie, 6)
  c.li(5, CASES)
  const jumpToFirst = c.here
  c.raw(0)

  const trap = c.here
  c.put('csrrw', { rd: 5, rs1: 5, imm: M_TRAP.mscratch })
  for (let n = 1; n < 32; n++) if (n !== 5) c.put('sd', { rs1: 5, rs2: n, imm: n * 8 })
  c.csrr(6, M_TRAP.mscratch).put('sd', { rs1: 5, rs2: 6, imm: 40 })
  c.csrr(6, M_TRAP.mepc).put('sd', { rs1: 5, rs2: 6, imm: Slot.PC * 8 })
  c.csrr(6, M_TRAP.mcause).put('sd', { rs1: 5, rs2: 6, imm: Slot.CAUSE * 8 })
  CASE_CSRS.forEach((name, n) => {
    // Only now may floating point be on: sstatus has been read.
    if (name === 'fcsr') c.li(6, FS).put('csrrs', { rd: 0, rs1: 6, imm: M.mstatus })
    c.csrr(6, CSR_ADDRESS[name]).put('sd', { rs1: 5, rs2: 6, imm: (Slot.CSRS + n) * 8 })
  })
  for (let n = 0; n < 32; n++) c.put('fsd', { rs1: 5, rs2: n, imm: (Slot.FLOATS + n) * 8 })
  c.li(6, DATA)
    .li(8, ARENA + MUTABLE_BYTES)
    .li(10, HASH_FACTOR)
    .put('addi', { rd: 11, rs1: 0, imm: 0 })
  const hash = c.here
  c.put('lw', { rd: 9, rs1: 6 }).put('mulw', { rd: 11, rs1: 11, rs2: 10 }).put('addw', { rd: 11, rs1: 11, rs2: 9 })
  c.put('addi', { rd: 6, rs1: 6, imm: 4 }).branch('bltu', 6, 8, hash)
  c.put('sd', { rs1: 5, rs2: 11, imm: Slot.HASH * 8 })
  c.put('addi', { rd: 5, rs1: 5, imm: CASE_BYTES })

  const start = c.here
  c.words[jumpToFirst] = new Assembler().word('jal', { rd: 0, imm: (start - jumpToFirst) * 4 })
  c.li(6, CASES + count * CASE_BYTES)
  const toRun = c.here
  c.raw(0)
  c.li(6, 0x10_0000).li(7, 0x5555).put('sw', { rs1: 6, rs2: 7 }).put('jal', { rd: 0, imm: 0 })
  c.words[toRun] = new Assembler().word('bltu', { rs1: 5, rs2: 6, imm: (c.here - toRun) * 4 })

  c.li(6, TEMPLATE)
    .li(7, ARENA)
    .li(8, ARENA + MUTABLE_BYTES)
    .copy()
  c.put('ld', { rd: 7, rs1: 5, imm: Slot.CODE_AT * 8 }).put('addi', { rd: 6, rs1: 5, imm: Slot.CODE * 8 })
  c.put('addi', { rd: 8, rs1: 7, imm: CODE_BYTES }).copy()
  c.li(6, CLINT_TIME).put('ld', { rd: 6, rs1: 6 }).li(7, TIME_LIMIT).put('add', { rd: 6, rs1: 6, rs2: 7 })
  c.li(7, CLINT_COMPARE).put('sd', { rs1: 7, rs2: 6 })
  CASE_CSRS.forEach((name, n) => {
    if (name === 'fcsr') c.li(6, FS).put('csrrs', { rd: 0, rs1: 6, imm: M.mstatus })
    c.put('ld', { rd: 6, rs1: 5, imm: (Slot.CSRS + n) * 8 }).csrw(name === 'sip' ? M_TRAP.mip : CSR_ADDRESS[name], 6)
  })
  for (let n = 0; n < 32; n++) c.put('fld', { rd: n, rs1: 5, imm: (Slot.FLOATS + n) * 8 })
  c.put('ld', { rd: 6, rs1: 5, imm: Slot.STATUS * 8 }).csrw(M.mstatus, 6)
  c.put('ld', { rd: 6, rs1: 5, imm: Slot.PC * 8 }).csrw(M_TRAP.mepc, 6)
  c.csrw(M_TRAP.mscratch, 5)
  // No reservation is left over from the case before.
  c.put('addi', { rd: 6, rs1: 5, imm: Slot.HASH * 8 }).put('sc.d', { rd: 0, rs1: 6, rs2: 0 })
  c.put('sfence.vma').put('fence.i')
  for (let n = 1; n < 32; n++) if (n !== 5) c.put('ld', { rd: n, rs1: 5, imm: n * 8 })
  c.put('ld', { rd: 5, rs1: 5, imm: 40 }).raw(MRET)

  // The second hart only makes QEMU translate atomics as such (one hart alone gets a load and a store); it sleeps.
  const prologue = new Code().csrr(6, 0xf14).branch('beq', 6, 0, 4).put('wfi').put('jal', { rd: 0, imm: -4 })
  prologue.li(6, RAM + (trap + prologue.here + 5) * 4).csrw(M.mtvec, 6)
  return new Uint8Array(new Uint32Array([...prologue.words, ...c.words]).buffer)
}

/** sstatus bits of a case with MPP as the privilege to enter. */
const machineStatus = (c: Case): bigint => (c.csrs.sstatus & CASE_STATUS) | (c.supervisor ? 0x800n : 0n)

/**
 * Runs all cases, in order, in one QEMU.
 * @throws Error if QEMU fails or a program does not fit
 */
export function runInQemu(template: Uint8Array, cases: readonly Case[]): Outcome[] {
  if (CASES - RAM + cases.length * CASE_BYTES > RAM_BYTES)
    throw new Error(`${cases.length} cases do not fit in one run`)
  const memory = new Uint8Array(cases.length * CASE_BYTES)
  cases.forEach((c, n) => writeCase(memory.subarray(n * CASE_BYTES, (n + 1) * CASE_BYTES), c))
  const image = [
    { at: RAM, bytes: shim(cases.length) },
    { at: ARENA, bytes: template },
    { at: TEMPLATE, bytes: template },
    { at: CASES, bytes: memory },
  ]
  runImage(image, { at: CASES, bytes: memory })
  return cases.map((_, n) => readOutcome(memory.subarray(n * CASE_BYTES, (n + 1) * CASE_BYTES)))
}

function writeCase(memory: Uint8Array, c: Case): void {
  const cells = new DataView(memory.buffer, memory.byteOffset, CASE_BYTES)
  const put = (slot: number, value: bigint): void => cells.setBigUint64(slot * 8, BigInt.asUintN(64, value), true)
  c.registers.forEach((value, n) => put(n, value))
  c.floats.forEach((value, n) => put(Slot.FLOATS + n, value))
  put(Slot.PC, BigInt(c.entry))
  put(Slot.STATUS, machineStatus(c))
  CASE_CSRS.forEach((name, n) => put(Slot.CSRS + n, c.csrs[name]))
  put(Slot.CODE_AT, BigInt(c.entry))
  memory.set(assembleProgram(c.program), Slot.CODE * 8)
}

function readOutcome(memory: Uint8Array): Outcome {
  const cells = new DataView(memory.buffer, memory.byteOffset, CASE_BYTES)
  const get = (slot: number): bigint => cells.getBigUint64(slot * 8, true)
  const csrs = Object.fromEntries(CASE_CSRS.map((name, n) => [name, get(Slot.CSRS + n)])) as Record<CaseCsr, bigint>
  return {
    registers: Array.from({ length: 32 }, (_, n) => (n === 0 ? 0n : get(n))),
    floats: Array.from({ length: 32 }, (_, n) => get(Slot.FLOATS + n)),
    csrs,
    pc: get(Slot.PC),
    hash: Number(BigInt.asIntN(32, get(Slot.HASH))),
    endless: get(Slot.CAUSE) !== 9n,
  }
}
