/** IEEE 754 arithmetic that is the same on every host. */
export { BINARY32, BINARY64, type BinaryFormat } from './format.ts'
export { isOrdinary, isOrdinarySingle, NativeFma } from './native.ts'
export { Flag, FloatStatus, Rounding, type RoundingMode } from './round.ts'
export { SoftFloat } from './soft-float.ts'
