/** One differential test case, and the state it ends in. */

/** CSRs that a case sets and that are compared after it, by name. */
export const CASE_CSRS = [
  'sstatus',
  'sie',
  'sip',
  'stvec',
  'scounteren',
  'sscratch',
  'sepc',
  'scause',
  'stval',
  'satp',
  'fcsr',
] as const
export type CaseCsr = (typeof CASE_CSRS)[number]

export interface Case {
  /** x0-x31. */
  readonly registers: readonly bigint[]
  /** f0-f31, all 64 bits. */
  readonly floats: readonly bigint[]
  readonly csrs: Readonly<Record<CaseCsr, bigint>>
  readonly supervisor: boolean
  /** Where the program lies; it starts at its first byte. */
  readonly entry: number
  /** Instruction words, 16 or 32 bits each. An ecall follows. */
  readonly program: readonly number[]
}

export interface Outcome {
  readonly registers: readonly bigint[]
  readonly floats: readonly bigint[]
  readonly csrs: Readonly<Record<CaseCsr, bigint>>
  readonly pc: bigint
  /** Hash of the mutable arena. */
  readonly hash: number
  /** The case ran into the time limit. */
  readonly endless: boolean
}

/** sstatus bits that a case may set: SIE, SPIE, SPP, FS, SUM, MXR. */
export const CASE_STATUS = 0xc6122n

const isShort = (word: number): boolean => (word & 3) !== 3
export const programBytes = (program: readonly number[]): number =>
  program.reduce((sum, word) => sum + (isShort(word) ? 2 : 4), 0)

/** Bytes that every program occupies, the rest of them zero. */
export const CODE_BYTES = 512

/** The program and its final ecall as bytes. */
export function assembleProgram(program: readonly number[]): Uint8Array {
  if (programBytes(program) + 4 > CODE_BYTES)
    throw new Error(`a program of ${programBytes(program)} bytes does not fit`)
  const bytes = new Uint8Array(CODE_BYTES)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const word of [...program, 0x73]) {
    if (isShort(word)) view.setUint16(at, word, true)
    else view.setUint32(at, word, true)
    at += isShort(word) ? 2 : 4
  }
  return bytes
}
