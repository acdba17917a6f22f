/** wasm: engines made of WebAssembly, generated from the instruction table. */
export { ByteWriter } from './byte-writer.ts'
export { Code } from './code.ts'
export { ModuleBuilder } from './emit.ts'
export { type BlockType, Mem, type MemoryOperator, Op, type Operator, Type, type ValueType } from './opcodes.ts'
