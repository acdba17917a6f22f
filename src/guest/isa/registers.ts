/** Names of the integer registers in the standard ABI (RISC-V psABI 1.0, section 1.1). */

export const REGISTER_NAMES: readonly string[] =
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'.split(' ')

/** Numbers of the registers that calling conventions name. */
export const RA = 1
export const SP = 2
export const A0 = 10
export const A1 = 11
export const A2 = 12
export const A3 = 13
export const A4 = 14
export const A5 = 15
export const A6 = 16
export const A7 = 17
