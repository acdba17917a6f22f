/** An emitter that is a stack machine without values: it fails if semantics use a value twice, or out of order. */
import type { Emitter, Row } from '../../../src/guest/index.ts'

/** Which operations an emitter has, by what they take and give. */
const SOURCES = 'rs1 rs2 imm uimm pc nextPc constant'.split(' ')
const UNARY = 'signExtend32 zeroExtend32 truth countLeadingZeros countTrailingZeros countOnes reverseBytes'.split(' ')
const ARITHMETIC = 'add sub and or xor shiftLeft shiftRight shiftRightSigned div divUnsigned rem remUnsigned mul'.split(
  ' ',
)
const HIGH = 'mulHigh mulHighUnsigned mulHighSignedUnsigned'.split(' ')
const COMPARISON = 'equal notEqual less lessUnsigned greaterEqual greaterEqualUnsigned'.split(' ')
const ROTATIONS = 'rotateLeft rotateRight'.split(' ')
const BINARY = [...ARITHMETIC, ...ROTATIONS, ...HIGH, ...COMPARISON]
const SINKS = 'rd branch jump'.split(' ')
const MEMORY = 'load store loadReserved storeConditional amo floatLoad floatStore float fence fenceI sfenceVma'.split(
  ' ',
)
const SYSTEM = 'ecall ebreak wfi sret illegal'.split(' ')

/** @returns what the row does wrong, undefined if nothing */
export function stackFault(row: Row): string | undefined {
  const stack: number[] = []
  let next = 0
  let effects = 0
  let fault: string | undefined
  const push = (): number => {
    stack.push(next)
    return next++
  }
  const pop = (value: number, by: string): void => {
    if (stack.pop() !== value) fault ??= `${by} takes a value that is not on top of the stack`
  }
  const effect = (by: string): void => {
    if (effects++ > 0) fault ??= `${by} is a second effect`
  }
  const methods: [string, (...values: number[]) => number | void][] = [
    ...SOURCES.map((name) => [name, push] as [string, () => number]),
    ...UNARY.map((name): [string, (a: number) => number] => [name, (a) => (pop(a, name), push())]),
    ...BINARY.map((name): [string, (a: number, b: number) => number] => [
      name,
      (a, b) => (pop(b, name), pop(a, name), push()),
    ]),
    ['choose', (a: number, b: number, c: number) => (pop(c, 'choose'), pop(b, 'choose'), pop(a, 'choose'), push())],
    ...SINKS.map((name): [string, (a: number) => void] => [
      name,
      (a) => {
        pop(a, name)
        if (name === 'rd' && effects > 0) fault ??= 'rd is written after the effect'
        if (name !== 'rd') effect(name)
      },
    ]),
    ...[...MEMORY, ...SYSTEM].map((name): [string, () => void] => [name, () => effect(name)]),
  ]
  const csr = (_: unknown, source: number): void => {
    pop(source, 'csr')
    effect('csr')
  }
  const emitter = Object.fromEntries([...methods, ['csr', csr]]) as unknown as Emitter<number, number>
  row.semantics(emitter)
  if (stack.length > 0) fault ??= 'values are left over'
  return fault
}
