/** wasm: engines made of WebAssembly, generated from the instruction table. */
export { ByteWriter } from './byte-writer.ts'
export { Code } from './code.ts'
export { ModuleBuilder } from './emit.ts'
export { FastTlb } from './fast-tlb.ts'
export { HartArea, type StoreGuard, type TranslationSource } from './hart-area.ts'
export * from './layout.ts'
export { type BlockType, Mem, type MemoryOperator, Op, type Operator, Type, type ValueType } from './opcodes.ts'
