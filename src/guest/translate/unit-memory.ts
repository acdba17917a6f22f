/**
 * Loads and stores of a unit.
 *
 * An access probes the fast TLB, or, off a base register that is used more than once, first the page that its last access
 * went to.
 *
 * R1 What does not hit leaves the unit at the instruction, which has had no effect: the tier below executes it, and fills.
 *    Nothing is called in here, so everything that a loop needs can stay in the machine's registers.
 * R2 A remembered page is good as long as the unit runs: rows of the fast TLBs go outside of it only.
 */
import { Access } from '../../hardware/index.ts'
import type { AccessSize, AmoOperation } from '../isa/index.ts'
import { pushCombined } from '../wasm/atomics.ts'
import { FAST_READ, FAST_ROWS, FAST_ROW_BYTES, FAST_WRITE, ROW_ADDEND, ROW_TAG, Word } from '../wasm/layout.ts'
import { NOTED_BOTH, NOTED_STORE, pushNote } from '../wasm/observation.ts'
import { Mem, type MemoryOperator, Op, Type } from '../wasm/opcodes.ts'
import { Kind } from './survey.ts'
import { HART } from './unit-abi.ts'
import type { UnitFrame } from './unit-frame.ts'

const PAGE_MASK = -4096
const ROW_MASK: number = (FAST_ROWS - 1) * FAST_ROW_BYTES

/** Pages that a function remembers at most. */
const KNOWN_PAGES = 6

/** The page that a base register's last access of a kind went to: locals for its address, or -1, and what leads to its frame. */
interface KnownPage {
  readonly base: number
  readonly access: Access
  readonly tag: number
  readonly addend: number
}

export class UnitMemory {
  private readonly frame: UnitFrame
  private readonly note: number | null
  private address = 0
  private row = 0
  private host = 0
  private pages: readonly KnownPage[] = []

  constructor(frame: UnitFrame, note: number | null) {
    this.frame = frame
    this.note = note
  }

  /** Declares the locals that accesses need. */
  begin(): void {
    const { code } = this.frame
    this.address = code.local(Type.i64)
    this.row = code.local(Type.i32)
    this.host = code.local(Type.i32)
    this.planPages()
    for (const { tag } of this.pages) {
      code.i64(-1)
      code.set(tag)
    }
  }

  load(size: AccessSize, signed: boolean): void {
    this.probe(Access.read, size)
    this.frame.code.mem(loadOperator(size, signed))
    this.frame.set(this.frame.now.rd)
  }

  /** One access: the row of a page that may be stored to answers for the load, too. */
  amo(size: 4 | 8, operation: AmoOperation): void {
    const { code, now } = this.frame
    this.probe(Access.write, size, NOTED_BOTH)
    code.tee(this.host)
    code.get(this.host)
    code.mem(loadOperator(size, true))
    code.set(this.address)
    pushCombined(code, size, operation, this.address, () => this.frame.get(now.rs2))
    code.mem(storeOperator(size))
    code.get(this.address)
    this.frame.set(now.rd)
  }

  store(size: AccessSize): void {
    this.probe(Access.write, size)
    this.frame.get(this.frame.now.rs2)
    this.frame.code.mem(storeOperator(size))
  }

  /** Pushes the offset of the row, in a fast TLB, of the page of the address on the stack. */
  private rowIndex(): void {
    const { code } = this.frame
    code.op(Op.i32WrapI64)
    code.i32(8)
    code.op(Op.i32ShrU)
    code.i32(ROW_MASK)
    code.op(Op.i32And)
  }

  /** Pushes the host address of rs1 + imm. */
  probe(access: Access, size: AccessSize, noted: number = access === Access.write ? NOTED_STORE : 0): void {
    this.find(access, size)
    if (this.note === null) return
    this.frame.code.set(this.row)
    pushNote(this.frame.code, this.note, this.address, this.row, size | noted)
    this.frame.code.get(this.row)
  }

  private find(access: Access, size: AccessSize): void {
    const { code, now } = this.frame
    this.frame.get(now.rs1)
    if (now.imm !== 0) {
      code.i64(now.imm)
      code.op(Op.i64Add)
    }
    const known = this.pages.findIndex(({ base, access: of }) => base === now.rs1 && of === access)
    if (known < 0) {
      code.set(this.address)
      this.probeTable(access, size)
      code.get(this.row)
      code.mem(Mem.i32Load, tableOf(access) + ROW_ADDEND)
      code.get(this.address)
      code.op(Op.i32WrapI64)
      code.op(Op.i32Add)
      return
    }
    const { tag, addend } = this.pages[known] as KnownPage
    code.tee(this.address)
    code.i64(PAGE_MASK | (size - 1))
    code.op(Op.i64And)
    code.get(tag)
    code.op(Op.i64Ne)
    code.if()
    this.probeTable(access, size)
    code.get(this.row)
    code.mem(Mem.i32Load, tableOf(access) + ROW_ADDEND)
    code.set(addend)
    code.get(this.address)
    code.i64(PAGE_MASK)
    code.op(Op.i64And)
    code.set(tag)
    code.end()
    code.get(this.address)
    code.op(Op.i32WrapI64)
    code.get(addend)
    code.op(Op.i32Add)
  }

  /** Leaves the unit unless the fast TLB has a row for `address`; `row` is where. */
  private probeTable(access: Access, size: AccessSize): void {
    const { code } = this.frame
    code.get(this.address)
    this.rowIndex()
    code.get(HART)
    code.op(Op.i32Add)
    code.tee(this.row)
    code.mem(Mem.i64Load, tableOf(access) + ROW_TAG)
    code.get(this.address)
    code.i64(PAGE_MASK | (size - 1))
    code.op(Op.i64And)
    code.get(HART)
    code.mem(Mem.i64Load, access === Access.read ? Word.contextRead : Word.contextWrite)
    code.op(Op.i64Or)
    code.op(Op.i64Ne)
    code.if()
    this.frame.giveUp()
    code.end()
  }

  /** Base registers of more than one access, by how often they are used: their last page is remembered. */
  private planPages(): void {
    const uses = new Map<number, number>()
    const { blocks } = this.frame.unit
    const loops = blocks.some(({ successors }, index) => successors.some((next) => next <= index))
    for (const { instructions } of blocks) {
      for (const { decoded, survey } of instructions) {
        if (survey.kind !== Kind.LOAD && survey.kind !== Kind.STORE) continue
        const key = decoded.rs1 * 2 + (survey.kind === Kind.STORE ? 1 : 0)
        uses.set(key, (uses.get(key) ?? 0) + 1)
      }
    }
    const worth = [...uses].filter(([, count]) => loops || count > 1).toSorted((a, b) => b[1] - a[1])
    this.pages = worth.slice(0, KNOWN_PAGES).map(([key]) => ({
      base: key >> 1,
      access: (key & 1) === 0 ? Access.read : Access.write,
      tag: this.frame.code.local(Type.i64),
      addend: this.frame.code.local(Type.i32),
    }))
  }
}

const tableOf = (access: Access): number => (access === Access.read ? FAST_READ : FAST_WRITE)

function loadOperator(size: AccessSize, signed: boolean): MemoryOperator {
  if (size === 8) return Mem.i64Load
  if (size === 4) return signed ? Mem.i64Load32S : Mem.i64Load32U
  if (size === 2) return signed ? Mem.i64Load16S : Mem.i64Load16U
  return signed ? Mem.i64Load8S : Mem.i64Load8U
}

function storeOperator(size: AccessSize): MemoryOperator {
  if (size === 8) return Mem.i64Store
  return size === 4 ? Mem.i64Store32 : size === 2 ? Mem.i64Store16 : Mem.i64Store8
}
