/**
 * The reference interpreter: an emitter whose values are BigInts, so that calling a row's semantics executes it.
 *
 * Exactness first. Here are the loop, fetch and control transfer; operators.ts has the arithmetic,
 * float-unit.ts the floating point, data-access.ts the rest.
 *
 * R1 The instruction word is read from memory each time; only its decoding is remembered (decode-cache.ts).
 * R2 The fetch page's translation is kept at most until the context, satp or a fence changes, or `run` returns.
 */
import type { Gvn, Hpa } from '../../base/index.ts'
import type { CsrOperation, Decoded, Emitter } from '../isa/index.ts'
import { Cause } from './cause.ts'
import { Effect } from './csr.ts'
import { nextPage, PAGES_PER_HIGH, TWO32 } from './data-access.ts'
import { DecodeCache } from './decode-cache.ts'
import type { Engine } from './engine.ts'
import { Exit, type ExitReason } from './exit.ts'
import { FloatUnit } from './float-unit.ts'
import { Flow } from './flow.ts'
import type { Hart } from './hart.ts'
import type { HartMemory } from './memory.ts'
import { Cell } from './state.ts'

const PC_LOW = Cell.pc * 2
const PC_HIGH = Cell.pc * 2 + 1

export class Interpreter extends FloatUnit implements Engine, Emitter<bigint, boolean> {
  private readonly doubles: Float64Array
  private readonly cache: DecodeCache
  /** The page that pc was last fetched from: its address in halves and its frame, -1 if none is known. */
  fetchLow = 0
  fetchHigh = 0
  fetchBase = -1

  /** @param cache may be shared by the machine's harts; @param memory by default the hart's */
  constructor(hart: Hart, cache: DecodeCache = new DecodeCache(), memory: HartMemory = hart.memory) {
    super(hart, cache.short(0), memory)
    this.doubles = hart.state.doubles
    this.cache = cache
  }

  run(budget: number): ExitReason {
    this.begin()
    return this.continue(budget)
  }

  /** What a run begins with: pending interrupts. */
  begin(): void {
    this.synchronize()
  }

  /** The fetch page that an engine around this one knows, as `fetchLow`, `fetchHigh` and `fetchBase` tell it. */
  setFetchPage(low: number, high: number, base: number): void {
    this.fetchLow = low
    this.fetchHigh = high
    this.fetchBase = base
  }

  /** One instruction of a run that another engine executes. @returns 0 to go on, or the reason to leave */
  step(): ExitReason | 0 {
    const reason = this.continue(1)
    return reason === Exit.INTR ? 0 : reason
  }

  private continue(budget: number): ExitReason {
    const { halves, doubles, bytes, cache } = this
    for (let left = budget; left > 0; left--) {
      const low = halves[PC_LOW] as number
      this.flow = Flow.NEXT
      if (this.fetchBase < 0 || ((low ^ this.fetchLow) & ~0xfff) !== 0 || halves[PC_HIGH] !== this.fetchHigh) {
        if (!this.enterFetchPage()) {
          if (this.flow === Flow.EXIT) return this.exit
          continue
        }
      }
      const at = (this.fetchBase + (low & 0xffe)) as Hpa
      const half = bytes.read16(at)
      let decoded: Decoded
      if ((half & 3) !== 3) {
        decoded = cache.short(half)
      } else if ((low & 0xffe) !== 0xffe) {
        decoded = cache.long(half | (bytes.read16((at + 2) as Hpa) << 16))
      } else {
        const upper = this.fetchNextPage()
        if (upper < 0) {
          if (this.flow === Flow.EXIT) return this.exit
          continue
        }
        decoded = cache.long(half | (upper << 16))
      }
      this.now = decoded
      decoded.semantics(this)
      const flow = this.flow
      if (flow <= Flow.JUMP_SYNC) {
        doubles[Cell.instret] = (doubles[Cell.instret] as number) + 1
        if ((flow & Flow.JUMP) === 0) this.advance(low, decoded.length)
        if (flow >= Flow.NEXT_SYNC) this.synchronize()
      } else if (flow === Flow.TRAP) {
        this.fetchBase = -1
      } else {
        if (flow === Flow.NEXT_EXIT) {
          doubles[Cell.instret] = (doubles[Cell.instret] as number) + 1
          this.advance(low, decoded.length)
        }
        return this.exit
      }
    }
    return Exit.INTR
  }

  /** Forgets translations and takes an interrupt if one is due. */
  private synchronize(): void {
    this.fetchBase = -1
    const interrupt = this.hart.takeableInterrupt()
    if (interrupt !== 0) this.hart.interrupt(interrupt)
  }

  private advance(low: number, length: number): void {
    const next = (low + length) | 0
    this.halves[PC_LOW] = next
    if (next >= 0 && low < 0) this.halves[PC_HIGH] = (this.halves[PC_HIGH] as number) + 1
  }

  // Fetch.

  private enterFetchPage(): boolean {
    const low = this.halves[PC_LOW] as number
    const high = this.halves[PC_HIGH] as number
    this.fetchBase = -1
    const base = this.memory.translateFetch(((high >>> 0) * PAGES_PER_HIGH + (low >>> 12)) as Gvn)
    if (base < 0) {
      this.miss('fetch', this.pc(), 2, 0)
      return false
    }
    this.fetchLow = low & ~0xfff
    this.fetchHigh = high
    this.fetchBase = base
    return true
  }

  /** The upper half of an instruction whose lower half ends its page; -1 if that page misses. */
  private fetchNextPage(): number {
    const low = this.halves[PC_LOW] as number
    const page = ((this.halves[PC_HIGH] as number) >>> 0) * PAGES_PER_HIGH + (low >>> 12)
    const base = this.memory.translateFetch(nextPage(page))
    if (base >= 0) return this.bytes.read16(base as Hpa)
    this.fetchBase = -1
    this.miss('fetch', this.pc(), 4, 2)
    return -1
  }

  // Control transfer.

  branch(condition: boolean): void {
    if (!condition) return
    const sum = ((this.halves[PC_LOW] as number) >>> 0) + this.now.imm
    this.halves[PC_LOW] = sum | 0
    if (sum >= TWO32) this.halves[PC_HIGH] = (this.halves[PC_HIGH] as number) + 1
    else if (sum < 0) this.halves[PC_HIGH] = (this.halves[PC_HIGH] as number) - 1
    this.flow = Flow.JUMP
  }

  jump(target: bigint): void {
    this.cells[Cell.pc] = target
    this.flow = Flow.JUMP
  }

  // CSRs and the system.

  csr(operation: CsrOperation, source: bigint): void {
    const write = operation === 'write' || this.now.rs1 !== 0
    const old = this.hart.accessCsr(this.now.imm, operation, source, write)
    if (old === undefined) return this.illegal()
    this.rd(old)
    if (this.hart.csrEffect !== Effect.NONE) this.flow = Flow.NEXT_SYNC
  }

  fence(): void {}

  /** Nothing to do: the word is fetched anew each time. */
  fenceI(): void {
    this.fetchBase = -1
  }

  sfenceVma(): void {
    if (!this.hart.supervisor) return this.illegal()
    this.hart.fenceVma(this.now.rs1, this.now.rs2)
    this.flow = Flow.NEXT_SYNC
  }

  ecall(): void {
    if (!this.hart.supervisor) return this.raise(Cause.ECALL_FROM_U, 0n)
    this.flow = Flow.EXIT
    this.exit = Exit.RISCV_SBI
  }

  ebreak(): void {
    if (!this.hart.debugged) return this.raise(Cause.BREAKPOINT, 0n)
    this.flow = Flow.EXIT
    this.exit = Exit.DEBUG
  }

  wfi(): void {
    if (!this.hart.supervisor) return this.illegal()
    if (this.hart.wakes()) return
    this.flow = Flow.NEXT_EXIT
    this.exit = Exit.HLT
  }

  sret(): void {
    if (!this.hart.supervisor) return this.illegal()
    this.hart.sret()
    this.flow = Flow.JUMP_SYNC
  }
}
