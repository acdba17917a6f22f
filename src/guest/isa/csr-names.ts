/** Addresses and names of the CSRs that a VS-mode guest sees (RISC-V privileged specification 20240411, table 3), of Sstc too. */

export const CSR_ADDRESS = {
  fflags: 0x001,
  frm: 0x002,
  fcsr: 0x003,
  sstatus: 0x100,
  sie: 0x104,
  stvec: 0x105,
  scounteren: 0x106,
  senvcfg: 0x10a,
  sscratch: 0x140,
  sepc: 0x141,
  scause: 0x142,
  stval: 0x143,
  sip: 0x144,
  stimecmp: 0x14d,
  satp: 0x180,
  cycle: 0xc00,
  time: 0xc01,
  instret: 0xc02,
} as const

export type CsrName = keyof typeof CSR_ADDRESS
