/**
 * Floating-point instructions of a unit.
 *
 * Nothing in a unit changes fcsr, nor FS once it is Dirty: what the instructions of a block need of them is settled at the
 * entry of the function, and a block that the hart is not fit for is left at its head, as if its budget did not suffice.
 *
 * R1 An instruction that cannot be done here leaves the unit for the interpreter, which tries all the rest it has in it.
 * R2 INEXACT is raised, the mode nearest-even and FS Dirty wherever something is rounded.
 */
import { Access } from '../../hardware/index.ts'
import { Cell } from '../hart/index.ts'
import { FLOAT_OPERATIONS, type FloatFormat, type FloatOperation } from '../isa/index.ts'
import type { Code } from '../wasm/code.ts'
import type { FloatFunctions, FloatNeed, FloatOperands, FloatSource } from '../wasm/float-operands.ts'
import { FloatWriter } from '../wasm/float-writer.ts'
import { Mem, Op, Type } from '../wasm/opcodes.ts'
import type { Instruction, Unit } from './unit.ts'
import { HART } from './unit-abi.ts'
import type { UnitFrame } from './unit-frame.ts'
import type { UnitMemory } from './unit-memory.ts'

const STATUS = Cell.sstatus * 8
const FCSR = Cell.fcsr * 8
const FS = 0x6000
/** Of fcsr: frm and INEXACT. */
const MODE_AND_INEXACT = 0xe1
/** Values of the rm field. */
const NEAREST = 0
const DYNAMIC = 7
const ROUNDED = [Op.f64Nearest, Op.f64Trunc, Op.f64Floor, Op.f64Ceil] as const

/** What a block needs: nothing; FS not Off; FS Dirty; the mode nearest-even and INEXACT raised, too. */
const Fit = { ANY: 0, ON: 1, DIRTY: 2, NEAREST: 3 } as const
type Fit = (typeof Fit)[keyof typeof Fit]

function fitOf({ decoded, survey }: Instruction): Fit {
  const { float } = survey
  if (float === null) return Fit.ANY
  const { operation, writes } = float
  if (operation === null || !FLOAT_OPERATIONS[operation].rounds) return writes === null ? Fit.ON : Fit.DIRTY
  const isExact = writes === 'd' && (operation === 'convert' || operation === 'fromW' || operation === 'fromWu')
  return isExact && decoded.rm !== DYNAMIC ? Fit.DIRTY : Fit.NEAREST
}

/** Whether the module of a unit has to have the functions of float-functions.ts. */
export const needsFloatFunctions = (unit: Unit): boolean =>
  unit.blocks.some(({ instructions }) =>
    instructions.some(({ survey: { float } }) => float !== null && float.reads.length === 3),
  )

export class UnitFloats implements FloatOperands {
  readonly code: Code
  private readonly frame: UnitFrame
  private readonly memory: UnitMemory
  private readonly writer: FloatWriter
  /** What each block needs, and locals that are negative if the hart does not give it. */
  private readonly fits: readonly Fit[]
  private readonly unfit = new Int32Array(4)
  /** What is known of each register at this place of the block: it is boxed; the format in which it is a number. */
  private readonly boxed = new Uint8Array(32)
  private readonly numbers: (FloatFormat | null)[] = Array.from({ length: 32 }, () => null)
  /** The block that this is about. */
  private block = -1

  constructor(frame: UnitFrame, memory: UnitMemory, functions: FloatFunctions) {
    this.code = frame.code
    this.frame = frame
    this.memory = memory
    this.writer = new FloatWriter(this, functions)
    this.fits = frame.unit.blocks.map(({ instructions }) =>
      instructions.reduce<Fit>((most, instruction) => Math.max(most, fitOf(instruction)) as Fit, Fit.ANY),
    )
  }

  /** Declares the locals and sees what the hart is fit for. */
  begin(): void {
    const { code } = this
    if (this.fits.every((fit) => fit === Fit.ANY)) return
    const status = code.local(Type.i32)
    code.get(HART)
    code.mem(Mem.i32Load, STATUS)
    code.i32(FS)
    code.op(Op.i32And)
    code.set(status)
    for (const fit of [Fit.ON, Fit.DIRTY, Fit.NEAREST] as const) {
      if (!this.fits.includes(fit)) continue
      this.unfit[fit] = code.local(Type.i32)
      code.i32(0)
      code.get(status)
      code.i32(fit === Fit.ON ? 0 : FS)
      code.op(fit === Fit.ON ? Op.i32Eq : Op.i32Ne)
      if (fit === Fit.NEAREST) {
        code.get(HART)
        code.mem(Mem.i32Load, FCSR)
        code.i32(MODE_AND_INEXACT)
        code.op(Op.i32And)
        code.i32(1)
        code.op(Op.i32Ne)
        code.op(Op.i32Or)
      }
      code.op(Op.i32Sub)
      code.set(this.unfit[fit])
    }
  }

  /** Makes the i32 on the stack negative if the hart is not fit for a block. */
  orUnfit(block: number): void {
    const fit = this.fits[block] as Fit
    if (fit === Fit.ANY) return
    this.code.get(this.unfit[fit] as number)
    this.code.op(Op.i32Or)
  }

  // Instructions.

  load(size: 4 | 8): void {
    const { code, frame } = this
    this.memory.probe(Access.read, size)
    code.mem(size === 4 ? Mem.f32Load : Mem.f64Load)
    this.write(frame.now.rd, size === 4 ? 's' : 'd', false)
  }

  store(size: 4 | 8): void {
    const { code, frame } = this
    this.memory.probe(Access.write, size)
    frame.floats.push(frame.now.rs2, size === 4 ? 's' : 'd')
    code.mem(size === 4 ? Mem.f32Store : Mem.f64Store)
  }

  operate(operation: FloatOperation, format: FloatFormat): void {
    this.writer.write(operation, format)
  }

  // Operands.

  need(need: FloatNeed): void {
    const { rm } = this.frame.now
    if (need === 'nearest' && rm !== NEAREST && rm !== DYNAMIC) this.frame.giveUp()
    if (need === 'any mode' && rm !== DYNAMIC && rm >= ROUNDED.length) this.frame.giveUp()
  }

  giveUpIf(): void {
    this.code.if()
    this.frame.giveUp()
    this.code.end()
  }

  push(source: FloatSource, format: FloatFormat): void {
    const { code, frame } = this
    const n = frame.now[source]
    this.startBlock()
    if (format === 's' && this.boxed[n] === 0) {
      frame.floats.pushUpper(n)
      code.i32(-1)
      code.op(Op.i32Ne)
      this.giveUpIf()
      this.boxed[n] = 1
    }
    frame.floats.push(n, format)
  }

  pushBits(source: FloatSource): void {
    this.frame.floats.pushBits(this.frame.now[source])
  }

  isSame(source: FloatSource, other: FloatSource): boolean {
    return this.frame.now[source] === this.frame.now[other]
  }
  isNumber(source: FloatSource, format: FloatFormat): boolean {
    this.startBlock()
    return this.numbers[this.frame.now[source]] === format
  }
  isNowNumber(source: FloatSource, format: FloatFormat): void {
    this.numbers[this.frame.now[source]] = format
  }

  set(format: FloatFormat, isNumber: boolean): void {
    this.write(this.frame.now.rd, format, isNumber)
  }

  setBits(): void {
    const { rd } = this.frame.now
    this.frame.floats.setBits(rd)
    this.learn(rd, false, null)
  }

  private write(n: number, format: FloatFormat, isNumber: boolean): void {
    this.frame.floats.set(n, format)
    this.learn(n, format === 's', isNumber ? format : null)
  }

  private learn(n: number, isBoxed: boolean, number: FloatFormat | null): void {
    this.startBlock()
    this.boxed[n] = isBoxed ? 1 : 0
    this.numbers[n] = number
  }

  /** Into a block lead many ways. */
  private startBlock(): void {
    if (this.block === this.frame.block) return
    this.block = this.frame.block
    this.boxed.fill(0)
    this.numbers.fill(null)
  }

  roundToInteger(): void {
    const { rm } = this.frame.now
    this.code.op(ROUNDED[rm === DYNAMIC ? NEAREST : rm] ?? Op.f64Nearest)
  }

  /** It is raised (R2). */
  inexactIf(): void {}

  rs1(): void {
    this.frame.get(this.frame.now.rs1)
  }
  rd(): void {
    this.frame.set(this.frame.now.rd)
  }
}
