/**
 * Zicsr, Zifencei and the supervisor instructions that a VS-mode guest may use.
 * RISC-V unprivileged specification 20240411, chapters 5 and 6; privileged specification 20240411, sections 3.3 and 10.2.
 *
 * R1 mret, hfence and the other instructions of M-mode and HS-mode have no row: for a guest they are illegal.
 * R2 rdcycle, rdtime and rdinstret (Zicntr) are csrrs of the counters.
 */
import { CSR, CSRI, FENCE_VMA, NONE } from './format.ts'
import { row, type Row } from './row.ts'

const FUNCT3 = 0x0000707f

export const ZICSR: readonly Row[] = [
  row('Zicsr', 'csrrw', FUNCT3, 0x1073, CSR, (e) => e.csr('write', e.rs1())),
  row('Zicsr', 'csrrs', FUNCT3, 0x2073, CSR, (e) => e.csr('set', e.rs1())),
  row('Zicsr', 'csrrc', FUNCT3, 0x3073, CSR, (e) => e.csr('clear', e.rs1())),
  row('Zicsr', 'csrrwi', FUNCT3, 0x5073, CSRI, (e) => e.csr('write', e.uimm())),
  row('Zicsr', 'csrrsi', FUNCT3, 0x6073, CSRI, (e) => e.csr('set', e.uimm())),
  row('Zicsr', 'csrrci', FUNCT3, 0x7073, CSRI, (e) => e.csr('clear', e.uimm())),
]

export const ZIFENCEI: readonly Row[] = [row('Zifencei', 'fence.i', FUNCT3, 0x100f, NONE, (e) => e.fenceI())]

export const PRIVILEGED: readonly Row[] = [
  row('Priv', 'sret', 0xffffffff, 0x10200073, NONE, (e) => e.sret()),
  row('Priv', 'wfi', 0xffffffff, 0x10500073, NONE, (e) => e.wfi()),
  row('Priv', 'sfence.vma', 0xfe007fff, 0x12000073, FENCE_VMA, (e) => e.sfenceVma()),
]
