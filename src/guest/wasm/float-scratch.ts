/** Scratch locals of a function for floating-point rows: made when first asked for, good inside one instruction. */
import type { FloatFormat } from '../isa/index.ts'
import type { Code } from './code.ts'
import { Type } from './opcodes.ts'

type Three = readonly [number, number, number]

export class FloatScratch {
  private readonly code: Code
  private singles: Three | null = null
  private doubles: Three | null = null
  private readonly wides: number[] = []

  constructor(code: Code) {
    this.code = code
  }

  /** Two operands and a result. */
  of(format: FloatFormat): Three {
    if (format === 's') return (this.singles ??= this.three(Type.f32))
    return (this.doubles ??= this.three(Type.f64))
  }

  /** The nth i64. */
  wide(n: number): number {
    while (this.wides.length <= n) this.wides.push(this.code.local(Type.i64))
    return this.wides[n] as number
  }

  private three(type: typeof Type.f32 | typeof Type.f64): Three {
    return [this.code.local(type), this.code.local(type), this.code.local(type)]
  }
}
