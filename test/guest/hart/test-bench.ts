/** A hart on flat memory with a program at its start, for golden tests. */
import {
  type AccessObserver,
  Assembler,
  Cell,
  CSR_ADDRESS,
  type CsrName,
  Hart,
  Interpreter,
  type Operands,
  ReservationTable,
} from '../../../src/guest/index.ts'
import { FlatBytes, FlatMemory } from './flat-memory.ts'

export const BASE = 0x8000_0000
export const HANDLER = 0x8000_0800
const SIZE = 64 * 1024

/** Harts that share one memory; hart 0 by default. */
export class TestBench {
  readonly bytes: FlatBytes = new FlatBytes(SIZE)
  readonly memories: FlatMemory[]
  readonly reservations: ReservationTable
  readonly harts: Hart[]
  readonly engines: Interpreter[]
  private readonly asm = new Assembler()
  private end = BASE

  constructor(harts = 1) {
    this.reservations = new ReservationTable(harts)
    this.memories = Array.from({ length: harts }, () => new FlatMemory(BASE, SIZE, this.bytes))
    this.harts = this.memories.map((memory, id) => new Hart({ id, memory, reservations: this.reservations }))
    this.engines = this.harts.map((hart) => new Interpreter(hart))
    for (const hart of this.harts) {
      hart.reset(BigInt(BASE), 0x1234n)
      hart.writeCsr(CSR_ADDRESS.stvec, BigInt(HANDLER))
    }
  }

  get hart(): Hart {
    return this.harts[0] as Hart
  }
  get engine(): Interpreter {
    return this.engines[0] as Interpreter
  }
  get memory(): FlatMemory {
    return this.memories[0] as FlatMemory
  }

  /** Where the next instruction goes. */
  at(address: number): this {
    this.end = address
    return this
  }

  put(name: string, operands: Partial<Operands> = {}): this {
    return this.word(this.asm.word(name, operands))
  }

  /** A word of 16 or 32 bits. */
  word(word: number): this {
    this.bytes.write16((this.end - BASE) as never, word & 0xffff)
    if ((word & 3) === 3) this.bytes.write16((this.end + 2 - BASE) as never, word >>> 16)
    this.end += (word & 3) === 3 ? 4 : 2
    return this
  }

  csr(name: CsrName): bigint {
    return this.hart.readCsr(CSR_ADDRESS[name]) as bigint
  }
  setCsr(name: CsrName, value: bigint): void {
    this.hart.writeCsr(CSR_ADDRESS[name], value)
  }

  /** Puts the hart into U-mode, at pc. */
  user(): this {
    this.hart.state.cells[Cell.privilege] = 0n
    this.hart.memory.setContext(0)
    return this
  }
}

/** Writes down what it sees. */
export class Log implements AccessObserver {
  readonly lines: string[] = []
  load(gva: bigint, hpa: number, size: number, value: bigint): void {
    this.lines.push(`load ${gva.toString(16)} @${hpa.toString(16)} ${size} ${value.toString(16)}`)
  }
  store(gva: bigint, hpa: number, size: number, value: bigint): void {
    this.lines.push(`store ${gva.toString(16)} @${hpa.toString(16)} ${size} ${value.toString(16)}`)
  }
}
