/** Machine programs for the bare hart under QEMU, assembled from the table. */
import { Assembler } from '../../../../src/guest/index.ts'

/** Straight-line code with backward and forward branches. */
export class Code {
  readonly words: number[] = []
  private readonly asm = new Assembler()

  put(name: string, operands: Parameters<Assembler['word']>[1] = {}): this {
    this.words.push(this.asm.word(name, operands))
    return this
  }
  raw(word: number): this {
    this.words.push(word)
    return this
  }
  get here(): number {
    return this.words.length
  }
  /** A constant below 2^32. */
  li(rd: number, value: number): this {
    const upper = (value + 0x800) & 0xfffff000
    this.put('lui', { rd, imm: upper | 0 })
    this.put('addiw', { rd, rs1: rd, imm: ((value - upper) << 20) >> 20 })
    return this.put('slli', { rd, rs1: rd, imm: 32 }).put('srli', { rd, rs1: rd, imm: 32 })
  }
  csrw(imm: number, rs1: number): this {
    return this.put('csrrw', { rd: 0, rs1, imm })
  }
  csrr(rd: number, imm: number): this {
    return this.put('csrrs', { rd, rs1: 0, imm })
  }
  branch(name: string, rs1: number, rs2: number, target: number): this {
    return this.put(name, { rs1, rs2, imm: (target - this.here) * 4 })
  }
  /** Copies `bytes` from x6 to x7; x8, x9 and both pointers are lost. */
  copy(): this {
    const loop = this.here
    return this.put('ld', { rd: 9, rs1: 6 })
      .put('sd', { rs1: 7, rs2: 9 })
      .put('addi', { rd: 6, rs1: 6, imm: 8 })
      .put('addi', { rd: 7, rs1: 7, imm: 8 })
      .branch('bltu', 7, 8, loop)
  }
}
