/**
 * The body of one WebAssembly function: a method for each operator with immediates, `op` for all others.
 *
 * R1 Labels are depths: the value of `block`, `loop` or `if` is the nesting level that the construct has, and `br` computes
 *    the relative depth. A label is good until its `end`.
 * R2 Locals are given by index; those above the parameters are declared as they are first asked for, typed.
 */
import { ByteWriter } from './byte-writer.ts'
import { type BlockType, type MemoryOperator, Op, type Operator, Type, type ValueType } from './opcodes.ts'

export class Code {
  /** The operators so far. */
  readonly bytes: ByteWriter = new ByteWriter(4096)
  /** Nesting level of the innermost open construct; the function itself is level 0. */
  depth = 0
  private parameters = 0
  private readonly locals = new ByteWriter(64)
  private readonly header = new ByteWriter(80)
  private localCount = 0

  // The builder's.

  start(parameters: number): void {
    this.bytes.clear()
    this.locals.clear()
    this.localCount = 0
    this.depth = 0
    this.parameters = parameters
  }

  /** Closes the function and writes it, locals first. */
  finish(out: ByteWriter): void {
    this.bytes.byte(Op.end)
    const { header, locals } = this
    header.clear()
    let runs = 0
    for (let at = 0; at < locals.length; at++) if (locals.bytes[at] !== locals.bytes[at - 1]) runs++
    header.unsigned(runs)
    for (let at = 0; at < locals.length;) {
      const type = locals.bytes[at] as number
      let count = 0
      while (at < locals.length && locals.bytes[at] === type) {
        at++
        count++
      }
      header.unsigned(count)
      header.byte(type)
    }
    out.unsigned(header.length + this.bytes.length)
    out.append(header)
    out.append(this.bytes)
  }

  // Locals and globals.

  /** A new local, zero at first. Locals of one type that are made one after the other cost no extra byte. */
  local(type: ValueType): number {
    this.locals.byte(type)
    return this.parameters + this.localCount++
  }
  get(local: number): void {
    this.index(0x20, local)
  }
  set(local: number): void {
    this.index(0x21, local)
  }
  tee(local: number): void {
    this.index(0x22, local)
  }
  globalGet(global: number): void {
    this.index(0x23, global)
  }
  globalSet(global: number): void {
    this.index(0x24, global)
  }

  // Constants.

  i32(value: number): void {
    this.bytes.byte(0x41)
    this.bytes.signed(value | 0)
  }
  /** Sign-extended to 64 bits; exact up to 2^53. */
  i64(value: number): void {
    this.bytes.byte(0x42)
    this.bytes.signed(value)
  }
  i64Big(value: bigint): void {
    this.bytes.byte(0x42)
    this.bytes.signedBig(value)
  }
  f32(value: number): void {
    this.bytes.byte(0x43)
    this.bytes.float32(value)
  }
  f64(value: number): void {
    this.bytes.byte(0x44)
    this.bytes.float64(value)
  }

  // Operators.

  op(operator: Operator): void {
    if (operator > 0xff) {
      this.bytes.byte(operator >>> 8)
      this.bytes.unsigned(operator & 0xff)
    } else {
      this.bytes.byte(operator)
    }
  }

  /** A load or store. @param offset added to the address on the stack, as an unsigned number without wrapping */
  mem(operator: MemoryOperator, offset = 0): void {
    this.bytes.byte(operator)
    // Alignment is a hint; 0 promises nothing.
    this.bytes.byte(0)
    this.bytes.unsigned(offset)
  }

  /** Stack: destination, value, bytes. */
  memoryFill(): void {
    this.bytes.byte(0xfc)
    this.bytes.byte(11)
    this.bytes.byte(0)
  }
  /** Stack: destination, source, bytes. */
  memoryCopy(): void {
    this.bytes.byte(0xfc)
    this.bytes.byte(10)
    this.bytes.byte(0)
    this.bytes.byte(0)
  }

  // Control.

  block(type: BlockType = Type.none): number {
    return this.open(0x02, type)
  }
  loop(type: BlockType = Type.none): number {
    return this.open(0x03, type)
  }
  if(type: BlockType = Type.none): number {
    return this.open(0x04, type)
  }
  else(): void {
    this.bytes.byte(Op.else)
  }
  /** Ends the innermost construct. */
  end(): void {
    this.bytes.byte(Op.end)
    this.depth--
  }
  br(label: number): void {
    this.index(0x0c, this.depth - label)
  }
  brIf(label: number): void {
    this.index(0x0d, this.depth - label)
  }
  /** Stack: an index into `labels`; beyond them, `otherwise`. */
  brTable(labels: readonly number[], otherwise: number): void {
    this.index(0x0e, labels.length)
    for (let i = 0; i < labels.length; i++) this.bytes.unsigned(this.depth - (labels[i] as number))
    this.bytes.unsigned(this.depth - otherwise)
  }
  return(): void {
    this.bytes.byte(Op.return)
  }
  call(callee: number): void {
    this.index(0x10, callee)
  }
  callIndirect(type: number, table = 0): void {
    this.index(0x11, type)
    this.bytes.unsigned(table)
  }
  returnCall(callee: number): void {
    this.index(0x12, callee)
  }
  returnCallIndirect(type: number, table = 0): void {
    this.index(0x13, type)
    this.bytes.unsigned(table)
  }

  private index(operator: number, index: number): void {
    this.bytes.byte(operator)
    this.bytes.unsigned(index)
  }

  private open(operator: number, type: BlockType): number {
    this.bytes.byte(operator)
    this.bytes.byte(type)
    return ++this.depth
  }
}
