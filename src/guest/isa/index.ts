/** The instruction set: one table of rows, and what is generated from it. */
export { Assembler, encode } from './assemble.ts'
export { CSR_ADDRESS, type CsrName } from './csr-names.ts'
export { Decoded, Decoder, isShort } from './decode.ts'
export { Disassembler } from './disassemble.ts'
export type { AccessSize, AmoOperation, CsrOperation, Emitter, Semantics } from './emitter.ts'
export { FLOAT_OPERATIONS, type FloatFormat, type FloatOperation, type FloatOperationRow } from './float-operations.ts'
export {
  extract,
  type Field,
  fixed,
  type Format,
  insert,
  type OperandName,
  type Operands,
  type Slice,
} from './format.ts'
export { NoteTaker } from './note-taker.ts'
export * from './registers.ts'
export type { Extension, Row } from './row.ts'
export { ROWS } from './table.ts'
