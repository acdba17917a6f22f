/**
 * WebAssembly modules, written byte by byte (core specification 2.0, sections 5.4 and 5.5).
 *
 * ```ts
 * const m = new ModuleBuilder()
 * m.importMemory('umbra', 'memory')
 * m.function(m.type([Type.i32], [Type.i32]), 'next')
 * const c = m.begin(1) // one parameter, local 0
 * c.get(0); c.i32(1); c.op(Op.i32Add)
 * m.end(c)
 * new Wasm.Module(m.finish())
 * ```
 *
 * R1 Imports of a kind come before definitions of that kind: indexes are given once and never move.
 * R2 Nothing is checked here: the engine validates what it is given. An operand is never evaluated.
 * R3 A builder that is reset keeps its buffers, and a body in the making writes to one buffer: no allocation an operator.
 */
import { KernelBug } from '../../base/index.ts'
import { ByteWriter } from './byte-writer.ts'
import { Code } from './code.ts'
import { type ValueType, Type } from './opcodes.ts'

const Section = {
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  global: 6,
  export: 7,
  element: 9,
  code: 10,
} as const
const External = { function: 0, table: 1, memory: 2, global: 3 } as const

/** One section's entries. */
class Entries {
  count = 0
  readonly bytes: ByteWriter

  constructor(capacity: number) {
    this.bytes = new ByteWriter(capacity)
  }

  add(): ByteWriter {
    this.count++
    return this.bytes
  }

  clear(): void {
    this.count = 0
    this.bytes.clear()
  }
}

export class ModuleBuilder {
  private readonly types = new Entries(128)
  private readonly imports = new Entries(256)
  private readonly functions = new Entries(256)
  private readonly tables = new Entries(16)
  private readonly globals = new Entries(64)
  private readonly exports = new Entries(256)
  private readonly elements = new Entries(64)
  private readonly bodies = new Entries(16384)
  private readonly output = new ByteWriter(32768)
  private readonly section = new ByteWriter(32768)
  private readonly codes: Code[] = []
  private readonly typeKeys: string[] = []
  private functionCount = 0
  private importedFunctions = 0
  private globalCount = 0
  private tableCount = 0
  private free = 0

  /** Begins another module; what was given out before is void. */
  reset(): void {
    for (const entries of this.allEntries()) entries.clear()
    this.typeKeys.length = 0
    this.functionCount = 0
    this.importedFunctions = 0
    this.globalCount = 0
    this.tableCount = 0
    this.free = 0
  }

  /** Index of a function type; equal types share one. */
  type(parameters: readonly ValueType[], results: readonly ValueType[]): number {
    const key = `${parameters.join()}:${results.join()}`
    const known = this.typeKeys.indexOf(key)
    if (known >= 0) return known
    this.typeKeys.push(key)
    const out = this.types.add()
    out.byte(0x60)
    for (const list of [parameters, results]) {
      out.unsigned(list.length)
      for (const type of list) out.byte(type)
    }
    return this.types.count - 1
  }

  /** @returns the function's index */
  importFunction(module: string, name: string, type: number): number {
    if (this.functionCount > this.importedFunctions) throw new KernelBug('functions are imported before any is defined')
    this.import(module, name, External.function).unsigned(type)
    this.importedFunctions++
    return this.functionCount++
  }

  /** @param pages 64 KiB pages that the memory must have at least */
  importMemory(module: string, name: string, pages = 0): void {
    const out = this.import(module, name, External.memory)
    out.byte(0)
    out.unsigned(pages)
  }

  /** A table of functions. @returns its index */
  importTable(module: string, name: string, minimum = 0): number {
    const out = this.import(module, name, External.table)
    out.byte(Type.funcref)
    out.byte(0)
    out.unsigned(minimum)
    return this.tableCount++
  }

  /** @returns the global's index */
  importGlobal(module: string, name: string, type: ValueType, mutable = false): number {
    const out = this.import(module, name, External.global)
    out.byte(type)
    out.byte(mutable ? 1 : 0)
    return this.globalCount++
  }

  /** A table of functions. @returns its index */
  table(size: number, exported?: string): number {
    const out = this.tables.add()
    out.byte(Type.funcref)
    out.byte(1)
    out.unsigned(size)
    out.unsigned(size)
    if (exported !== undefined) this.export(exported, External.table, this.tableCount)
    return this.tableCount++
  }

  /** An integer global. @returns its index */
  global(type: typeof Type.i32 | typeof Type.i64, mutable: boolean, initial: number, exported?: string): number {
    const out = this.globals.add()
    out.byte(type)
    out.byte(mutable ? 1 : 0)
    out.byte(type === Type.i32 ? 0x41 : 0x42)
    out.signed(initial)
    out.byte(0x0b)
    if (exported !== undefined) this.export(exported, External.global, this.globalCount)
    return this.globalCount++
  }

  /** Declares a function. Bodies follow in the order of the declarations. @returns its index */
  function(type: number, exported?: string): number {
    this.functions.add().unsigned(type)
    if (exported !== undefined) this.export(exported, External.function, this.functionCount)
    return this.functionCount++
  }

  /** Puts functions into a table when the module is instantiated, from a constant slot on. */
  element(slot: number, functions: readonly number[]): void {
    const out = this.elements.add()
    out.byte(0)
    out.byte(0x41)
    out.signed(slot)
    out.byte(0x0b)
    out.unsigned(functions.length)
    for (const index of functions) out.unsigned(index)
  }

  /** The same, from a slot that an imported immutable i32 global names: one module's bytes fit any place in the table. */
  elementAt(global: number, functions: readonly number[]): void {
    const out = this.elements.add()
    out.byte(0)
    out.byte(0x23)
    out.unsigned(global)
    out.byte(0x0b)
    out.unsigned(functions.length)
    for (const index of functions) out.unsigned(index)
  }

  /** The body of the next declared function. Several may be in the making; they end in order. @param parameters how many */
  begin(parameters: number): Code {
    const known = this.codes[this.free]
    const code = known ?? new Code()
    if (known === undefined) this.codes.push(code)
    this.free++
    code.start(parameters)
    return code
  }

  /** Ends a body; its `Code` is void then. */
  end(code: Code): void {
    code.finish(this.bodies.add())
    const at = this.codes.indexOf(code)
    this.free--
    this.codes[at] = this.codes[this.free] as Code
    this.codes[this.free] = code
  }

  /** The module. @throws KernelBug if a declared function has no body */
  finish(): Uint8Array {
    if (this.bodies.count !== this.functions.count) {
      throw new KernelBug(`${this.functions.count} functions declared, ${this.bodies.count} bodies`)
    }
    const { output } = this
    output.clear()
    for (const byte of [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) output.byte(byte)
    this.write(Section.type, this.types)
    this.write(Section.import, this.imports)
    this.write(Section.function, this.functions)
    this.write(Section.table, this.tables)
    this.write(Section.global, this.globals)
    this.write(Section.export, this.exports)
    this.write(Section.element, this.elements)
    this.write(Section.code, this.bodies)
    return output.toBytes()
  }

  private import(module: string, name: string, kind: number): ByteWriter {
    const out = this.imports.add()
    out.name(module)
    out.name(name)
    out.byte(kind)
    return out
  }

  private export(name: string, kind: number, index: number): void {
    const out = this.exports.add()
    out.name(name)
    out.byte(kind)
    out.unsigned(index)
  }

  private write(id: number, entries: Entries): void {
    if (entries.count === 0) return
    const { section, output } = this
    section.clear()
    section.unsigned(entries.count)
    section.append(entries.bytes)
    output.byte(id)
    output.appendSized(section)
  }

  private allEntries(): readonly Entries[] {
    const { types, imports, functions, tables, globals, exports, elements, bodies } = this
    return [types, imports, functions, tables, globals, exports, elements, bodies]
  }
}
