/** The reference interpreter: millions of guest instructions a second of real time. */
import { Assembler, Hart, Interpreter, ReservationTable } from '../src/guest/index.ts'
import { FlatMemory, RAM_BASE } from './flat-memory.ts'
import { compare } from './measure.ts'
import type { Case } from './measure.ts'
import type { Report, Subject } from './report.ts'

const BUDGET = 100_000

export const interpreter: Subject = {
  name: 'interpreter',
  title: 'Reference interpreter',
  async measure(): Promise<Report> {
    const figures = await compare([crc(), memory(), multiply()].map(asCase))
    return {
      tables: [
        {
          title: 'loops in flat memory, no translation',
          columns: ['', 'ns an instruction', 'million instructions a second'],
          rows: [...figures].map(([name, each]) => [name, each.toFixed(1), (1e3 / each).toFixed(1)]),
          note: 'Exactness comes first here: registers are 64-bit integers (BigInt cells), one handler a table row.',
        },
      ],
    }
  },
}

interface Loop {
  readonly name: string
  readonly words: readonly number[]
  readonly registers: readonly (readonly [number, bigint])[]
}

function asCase(loop: Loop): Case {
  const memory = new FlatMemory(64)
  const hart = new Hart({ id: 0, memory, reservations: new ReservationTable(1) })
  memory.load(loop.words)
  hart.reset(BigInt(RAM_BASE), 0n)
  for (const [register, value] of loop.registers) hart.setRegister(register, value)
  const engine = new Interpreter(hart)
  return { name: loop.name, operations: BUDGET, run: () => engine.run(BUDGET) }
}

/** The bitwise CRC-32 step, without a table. */
function crc(): Loop {
  const assembler = new Assembler()
  return {
    name: 'CRC-32, bit by bit',
    words: [
      assembler.word('lbu', { rd: 5, rs1: 10, imm: 0 }),
      assembler.word('xor', { rd: 6, rs1: 6, rs2: 5 }),
      assembler.word('andi', { rd: 7, rs1: 6, imm: 1 }),
      assembler.word('sub', { rd: 7, rs1: 0, rs2: 7 }),
      assembler.word('srli', { rd: 6, rs1: 6, imm: 1 }),
      assembler.word('and', { rd: 7, rs1: 7, rs2: 8 }),
      assembler.word('xor', { rd: 6, rs1: 6, rs2: 7 }),
      assembler.word('addi', { rd: 9, rs1: 9, imm: -1 }),
      assembler.word('bne', { rs1: 9, rs2: 0, imm: -24 }),
      assembler.word('jal', { rd: 0, imm: -36 }),
    ],
    registers: [
      [8, 0xedb8_8320n],
      [9, 1_000_000n],
      [10, 0x8000_1000n],
    ],
  }
}

function memory(): Loop {
  const assembler = new Assembler()
  return {
    name: 'loads and stores',
    words: [
      assembler.word('ld', { rd: 5, rs1: 10, imm: 8 }),
      assembler.word('addi', { rd: 5, rs1: 5, imm: 1 }),
      assembler.word('sd', { rs1: 10, rs2: 5, imm: 8 }),
      assembler.word('lw', { rd: 6, rs1: 10, imm: 16 }),
      assembler.word('sw', { rs1: 10, rs2: 6, imm: 20 }),
      assembler.word('addiw', { rd: 7, rs1: 6, imm: 3 }),
      assembler.word('bltu', { rs1: 0, rs2: 10, imm: -24 }),
    ],
    registers: [[10, 0x8000_1000n]],
  }
}

function multiply(): Loop {
  const assembler = new Assembler()
  return {
    name: 'multiply and divide',
    words: [
      assembler.word('mul', { rd: 5, rs1: 5, rs2: 6 }),
      assembler.word('mulhu', { rd: 7, rs1: 5, rs2: 6 }),
      assembler.word('remu', { rd: 8, rs1: 5, rs2: 9 }),
      assembler.word('add', { rd: 6, rs1: 6, rs2: 7 }),
      assembler.word('jal', { rd: 0, imm: -16 }),
    ],
    registers: [
      [5, 0x1234_5678_9abc_defn],
      [6, 0xfedc_ba98_7654_3211n],
      [9, 12_345n],
    ],
  }
}
