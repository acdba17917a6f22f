/** Runs differential cases on an engine: the reference interpreter if no other is given. */
import type { Hpa } from '../../../../src/base/index.ts'
import {
  CSR_ADDRESS,
  type Engine,
  Exit,
  Hart,
  HartState,
  Interpreter,
  ReservationTable,
} from '../../../../src/guest/index.ts'
import { ARENA, hashArena } from './arena.ts'
import { assembleProgram, type Case, CASE_CSRS, type CaseCsr, type Outcome } from './case.ts'
import { PagedMemory } from './paged-memory.ts'

/** One hart, used for case after case. */
export class OurSide {
  readonly hart: Hart
  private readonly memory: PagedMemory
  private readonly engine: Engine
  private readonly template: Uint8Array
  private readonly words: Readonly<Uint32Array>

  /** @param makeEngine the engine under test; @param state where its registers are */
  constructor(
    template: Uint8Array,
    makeEngine: (hart: Hart) => Engine = (hart) => new Interpreter(hart),
    memory: PagedMemory = new PagedMemory(),
    state: HartState = new HartState(),
  ) {
    this.memory = memory
    this.hart = new Hart({ id: 0, memory, state, reservations: new ReservationTable(1) })
    this.engine = makeEngine(this.hart)
    this.template = template
    this.words = memory.bytes.words.subarray(memory.base / 4)
  }

  /** @param budget instructions after which the case counts as endless */
  run(c: Case, budget = 2000): Outcome {
    const { hart, memory } = this
    const code = assembleProgram(c.program)
    memory.bytes.writeBytes(memory.base as Hpa, this.template)
    memory.bytes.writeBytes((memory.base + c.entry - ARENA) as Hpa, code)
    hart.reset(BigInt(c.entry), 0n)
    // fcsr before sstatus: writing it makes FS Dirty.
    for (const name of CASE_CSRS.toReversed()) {
      if (name !== 'sip') hart.writeCsr(CSR_ADDRESS[name], c.csrs[name])
    }
    for (const line of [1, 5, 9] as const) hart.setInterrupt(line, (c.csrs.sip >> BigInt(line)) % 2n === 1n)
    // Enter the program as the shim's mret does: the privilege changes, sstatus does not.
    if (!c.supervisor) {
      const status = hart.readCsr(CSR_ADDRESS.sstatus) as bigint
      hart.writeCsr(CSR_ADDRESS.sstatus, status & ~0x122n)
      hart.writeCsr(CSR_ADDRESS.sepc, BigInt(c.entry))
      hart.sret()
      hart.writeCsr(CSR_ADDRESS.sstatus, status)
      hart.writeCsr(CSR_ADDRESS.sepc, c.csrs.sepc)
    }
    for (let n = 1; n < 32; n++) hart.setRegister(n, c.registers[n] as bigint)
    c.floats.forEach((value, n) => hart.setFloatRegister(n, value))

    const reason = this.engine.run(budget)
    const csrs = Object.fromEntries(
      CASE_CSRS.map((name) => [name, hart.readCsr(CSR_ADDRESS[name]) as bigint]),
    ) as Record<CaseCsr, bigint>
    return {
      registers: Array.from({ length: 32 }, (_, n) => hart.register(n)),
      floats: Array.from({ length: 32 }, (_, n) => hart.floatRegister(n)),
      csrs,
      pc: hart.pc,
      hash: hashArena(this.words),
      endless: reason !== Exit.RISCV_SBI,
    }
  }
}
