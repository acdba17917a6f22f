/** Random programs as whole machines, and what two engines must agree on after running them. */
import { createHash } from 'node:crypto'
import { MiB } from '../../../src/base/index.ts'
import { Assembler, Machine, ROWS, encode } from '../../../src/guest/index.ts'
import type { MachineOptions, Operands, Row } from '../../../src/guest/index.ts'
import { Kernel } from '../../../src/host/index.ts'

export const BASE = 0x8000_0000
const CODE = 0x1000
const CODE_BYTES = 8192
const DATA = 0x8000
export const MEMORY: number = 1 * MiB

/** A small generator, so that a seed is a program. */
export class Dice {
  private state: number
  constructor(seed: number) {
    this.state = (seed * 2654435761 + 12345) >>> 0
  }
  /** 0 to n - 1. */
  roll(n: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0
    return Math.floor((this.state / 2 ** 32) * n)
  }
  of<T>(items: readonly T[]): T {
    return items[this.roll(items.length)]!
  }
}

/** An ELF file with one segment. */
export function elf(image: Uint8Array, address: number, entry: number): Uint8Array {
  const file = new Uint8Array(4096 + image.length)
  const view = new DataView(file.buffer)
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 2, true)
  view.setUint16(18, 243, true)
  view.setUint32(20, 1, true)
  view.setBigUint64(24, BigInt(entry), true)
  view.setBigUint64(32, 64n, true)
  view.setUint16(52, 64, true)
  view.setUint16(54, 56, true)
  view.setUint16(56, 1, true)
  view.setUint32(64, 1, true)
  view.setUint32(68, 7, true)
  view.setBigUint64(72, 4096n, true)
  view.setBigUint64(80, BigInt(address), true)
  view.setBigUint64(88, BigInt(address), true)
  view.setBigUint64(96, BigInt(image.length), true)
  view.setBigUint64(104, BigInt(image.length), true)
  view.setBigUint64(112, 4096n, true)
  file.set(image, 4096)
  return file
}

const NEVER = new Set(['wfi', 'sret', 'ecall', 'ebreak', 'c.ebreak'])
const PLAIN: readonly Row[] = ROWS.filter((row) => !NEVER.has(row.name) && !row.name.startsWith('csr'))
const BRANCHES: readonly Row[] = ROWS.filter((row) => /^(?:b|c\.b|jal$|c\.j$)/.test(row.name))
const SSTATUS = 0x100
const FCSR = 3
export const MEMORY_ROWS: readonly Row[] = ROWS.filter((row) => /^(?:c\.)?(?:l[bhwd]u?|s[bhwd])(?:sp)?$/.test(row.name))

/**
 * A handler that goes on behind the instruction that trapped; data registers; numbers in the floating-point registers; then
 * random instructions in two pages.
 */
export function randomProgram(seed: number): Uint8Array {
  const dice = new Dice(seed)
  const asm = new Assembler()
  const image = new Uint8Array(0x20000)
  const view = new DataView(image.buffer)
  let at = 0
  const put = (word: number, length = 4): void => {
    if (length === 4) view.setUint32(at, word >>> 0, true)
    else view.setUint16(at, word, true)
    at += length
  }
  // Entry: the trap vector, and registers that point to data.
  put(asm.word('auipc', { rd: 31, imm: 0 }))
  put(asm.word('addi', { rd: 31, rs1: 31, imm: 0x200 }))
  put(asm.word('csrrw', { rd: 0, rs1: 31, imm: 0x105 }))
  for (const register of [2, 8, 9, 10, 11, 12, 13]) {
    put(asm.word('auipc', { rd: register, imm: DATA + 0x1000 * dice.roll(4) }))
    put(asm.word('addi', { rd: register, rs1: register, imm: dice.roll(2) * (8 * dice.roll(250)) }))
  }
  for (const register of [5, 6, 7, 14, 15, 16, 17]) {
    put(asm.word('lui', { rd: register, imm: (dice.roll(2 ** 20) << 12) | 0 }))
    put(asm.word('addi', { rd: register, rs1: register, imm: dice.roll(4096) - 2048 }))
  }
  put(asm.word('auipc', { rd: 30, imm: CODE }))
  put(asm.word('jalr', { rd: 0, rs1: 30, imm: -at + 4 }))
  at = 0x200
  put(asm.word('csrrs', { rd: 31, rs1: 0, imm: 0x141 }))
  put(asm.word('addi', { rd: 31, rs1: 31, imm: dice.of([2, 4, 4, 6]) }))
  put(asm.word('csrrw', { rd: 0, rs1: 31, imm: 0x141 }))
  put(asm.word('sret'))
  at = CODE
  // Off in some, so that what needs it traps.
  if (seed % 4 !== 0) {
    put(asm.word('lui', { rd: 30, imm: dice.of([0x2000, 0x6000]) }))
    put(asm.word('csrrs', { rd: 0, rs1: 30, imm: SSTATUS }))
    put(asm.word('csrrwi', { rd: 0, rs1: dice.of([1, 1, 1, 0]), imm: FCSR }))
    for (let register = 0; register < 30; register++) {
      const row = dice.of(['fcvt.d.w', 'fcvt.d.w', 'fcvt.s.w', 'fcvt.d.lu', 'fmv.d.x'])
      const rounds = row.startsWith('fcvt') ? { rm: 0 } : {}
      put(asm.word(row, { rd: register, rs1: dice.of([5, 6, 7, 14, 15, 16, 17]), ...rounds }))
    }
  }
  const noise = dice.roll(4) === 0
  while (at < CODE + CODE_BYTES - 8) {
    const kind = dice.roll(20)
    if (noise && dice.roll(6) === 0) put(dice.roll(65536), 2)
    else if (kind < 3) random(BRANCHES, true)
    else if (kind < 8) random(MEMORY_ROWS, false)
    else random(PLAIN, kind === 19)
  }
  function random(rows: readonly Row[], far: boolean): void {
    const row = dice.of(rows)
    for (let attempt = 0; attempt < 8; attempt++) {
      const compressed = row.length === 2 ? 8 + dice.roll(8) : dice.roll(30)
      const imm = far
        ? (dice.roll(200) - 120) * 2
        : dice.of([0, 4, 8, 16, 1, 24, dice.roll(64) * 8, -8, dice.roll(4096) - 2048])
      try {
        const operands = {
          rd: row.length === 2 ? 8 + dice.roll(8) : dice.roll(30),
          rs1: compressed,
          rs2: compressed & 1 ? 8 + dice.roll(8) : 9,
          rs3: dice.roll(30),
          rm: dice.of([0, 0, 7, 7, 1, 2, 3, 4]),
          imm,
        }
        put(encode(row, keepOnly(row, operands)), row.length)
        return
      } catch {
        // The operands do not fit this format: others may.
      }
    }
    put(asm.word('addi', { rd: 14, rs1: 14, imm: 3 }))
  }
  for (let i = DATA; i < image.length; i++) image[i] = dice.roll(256)
  return elf(image, BASE, BASE)
}

/** Those of the operands that the row's format has. */
export const keepOnly = (row: Row, operands: Partial<Operands>): Partial<Operands> =>
  Object.fromEntries(
    Object.entries(operands).filter(([name]) => (row.format as unknown as Record<string, unknown>)[name] !== undefined),
  )

export interface Outcome {
  readonly cause: string
  readonly message: string
  readonly instructions: readonly number[]
  readonly nanoseconds: number
  readonly state: string
  readonly memory: string
  readonly console: string
  readonly exits: string
}

/** Runs a program to its end, or to the end of its budget. */
export async function outcomeOf(program: Uint8Array, options: Partial<MachineOptions>): Promise<Outcome> {
  const kernel = new Kernel({ frames: 1024, scratchBytes: 4 * MiB })
  return kernel.run(async () => {
    const machine = await Machine.create(kernel, {
      name: 'fuzz',
      program,
      memory: MEMORY,
      budget: 20_000,
      quantum: 997,
      ...options,
    })
    const result = await machine.run()
    const hash = createHash('sha256')
    for (let page = 0; page < MEMORY / 4096; page++) {
      hash.update(await machine.vm.readGuest((BASE + page * 4096) as never, 4096))
    }
    const state = machine.runs.map(({ hart }) => [...hart.state.cells].map((cell) => cell.toString(16)).join())
    await machine.destroy()
    return {
      cause: result.cause,
      message: result.message,
      instructions: result.instructions,
      nanoseconds: result.nanoseconds,
      state: state.join('\n'),
      memory: hash.digest('hex'),
      console: result.console,
      exits: JSON.stringify(result.exits),
    }
  })
}
