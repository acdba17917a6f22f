/**
 * The memory of a differential test case: where things lie, and the page tables over it.
 *
 * The arena is the only memory that S-mode and U-mode may touch: under QEMU by PMP, in our harness by `PagedMemory`.
 * Its pages are mapped at their own addresses, so that programs run under Bare, Sv39 and Sv48 alike, and again at
 * `ALIAS` with every kind of permission and every kind of broken entry.
 */
import { Assembler, CSR_ADDRESS } from '../../../../src/guest/index.ts'

export const RAM = 0x8000_0000
export const ARENA = 0x8010_0000
/** Pages of the arena, by number. */
export const Page = {
  HANDLER: 0,
  CODE_S: 1,
  CODE_U: 3,
  DATA_U: 5,
  DATA_S: 8,
  /** Not mapped: QEMU's PMP looks at the bytes behind a page, too, when an access crosses its end. */
  SPARE: 11,
  /** Nothing is writable and executable (QEMU finishes the block at hand with its old code); tables are only readable. */
  TABLES: 12,
  SV39_ROOT: 12,
  LEVEL1: 13,
  LEVEL0: 14,
  SV48_ROOT: 15,
  END: 16,
} as const
/** What is restored before each case; programs can change the data pages of it, which are hashed afterwards. */
export const MUTABLE_BYTES: number = Page.TABLES * 4096
export const ARENA_BYTES: number = Page.END * 4096

export const address = (page: number): number => ARENA + page * 4096
/** Where each page of `ALIASES` is mapped. */
export const ALIAS: number = ARENA + 64 * 4096

const V = 1
const R = 2
const W = 4
const X = 8
const U = 16
const AD = 0xc0
const SUM = 0x40000

interface Leaf {
  readonly page: number
  readonly flags: number
}
const leaf = (page: number, flags: number): Leaf => ({ page, flags: flags === 0 ? 0 : flags | V | AD })

/** The pages at ARENA. */
const IDENTITY: readonly Leaf[] = [
  leaf(0, R | X),
  leaf(1, R | X),
  leaf(2, R | W | X),
  leaf(3, R | X | U),
  leaf(4, R | X | U),
  ...[5, 6, 7].map((page) => leaf(page, R | W | U)),
  ...[8, 9, 10].map((page) => leaf(page, R | W)),
]

/** The pages at ALIAS: neighbours differ, so that accesses cross from each kind into another. */
export const ALIASES: readonly Leaf[] = [
  leaf(5, R | W | U),
  leaf(6, R | U),
  leaf(7, R | W | U),
  leaf(5, 0),
  leaf(6, R | W | U),
  leaf(7, X | U),
  leaf(5, W | U),
  leaf(8, R | W),
  leaf(9, R),
  leaf(10, R | W),
  leaf(8, 0),
  leaf(9, R | W),
  leaf(10, X),
  leaf(8, W | X),
  leaf(9, R | W),
  leaf(6, R | W | U),
  leaf(10, R | W | X),
  // Outside the arena: a page that PMP denies.
  leaf(-200, R | W | X | U),
  leaf(-200, R | W | X),
  leaf(7, R | W | X | U),
  leaf(3, X | U),
  leaf(1, X),
  // A pointer at the last level.
  { page: 5, flags: V },
  leaf(9, R | W),
]

const entry = (page: number, flags: number): bigint => (BigInt(address(page)) >> 2n) | BigInt(flags)

/** In the handler's page: ecall, which ends the case, from its start, and from here on handlers that go on behind a trap. */
export const RESUME: number = address(Page.HANDLER) + 2048
/** Distance of the two: one leaves SUM set, the other clear. */
export const RESUME_BYTES = 128
/** Counts the traps that may still be taken, and scratch registers of the handlers; no program writes them. */
export const FUSE = 22
export const HANDLER_SCRATCH = [18, 21] as const

/** A handler that goes on behind the instruction, whose length it reads from memory. U-mode's ecall ends the case. */
function resume(keepSum: boolean): number[] {
  const asm = new Assembler()
  const { scause, sepc, sstatus } = CSR_ADDRESS
  const [a, b] = HANDLER_SCRATCH
  return [
    // The word before the handler is an ecall, as is every one that is not part of it.
    asm.word('addi', { rd: FUSE, rs1: FUSE, imm: -1 }),
    asm.word('beq', { rs1: FUSE, rs2: 0, imm: -8 }),
    asm.word('csrrs', { rd: a, rs1: 0, imm: scause }),
    asm.word('addi', { rd: a, rs1: a, imm: -8 }),
    asm.word('beq', { rs1: a, rs2: 0, imm: -20 }),
    asm.word('lui', { rd: b, imm: SUM }),
    asm.word('csrrs', { rd: 0, rs1: b, imm: sstatus }),
    asm.word('csrrs', { rd: a, rs1: 0, imm: sepc }),
    asm.word('lhu', { rd: a, rs1: a }),
    asm.word(keepSum ? 'csrrs' : 'csrrc', { rd: 0, rs1: b, imm: sstatus }),
    asm.word('andi', { rd: a, rs1: a, imm: 3 }),
    asm.word('sltiu', { rd: a, rs1: a, imm: 3 }),
    asm.word('slli', { rd: a, rs1: a, imm: 1 }),
    asm.word('csrrs', { rd: b, rs1: 0, imm: sepc }),
    asm.word('addi', { rd: b, rs1: b, imm: 4 }),
    asm.word('sub', { rd: b, rs1: b, rs2: a }),
    asm.word('csrrw', { rd: 0, rs1: b, imm: sepc }),
    asm.word('sret'),
  ]
}

/** Random bytes for the data pages, the handlers, and the tables. */
export function template(next32: () => number): Uint8Array {
  const bytes = new Uint8Array(ARENA_BYTES)
  const words = new Uint32Array(bytes.buffer)
  const entries = new BigUint64Array(bytes.buffer)
  for (let i = 0; i < 1024; i++) words[i] = 0x73
  for (const n of [0, 1]) words.set(resume(n === 0), (2048 + n * RESUME_BYTES) / 4)
  for (let i = Page.DATA_U * 1024; i < Page.TABLES * 1024; i++) words[i] = next32()

  const put = (table: number, index: number, value: bigint): void => {
    entries[table * 512 + index] = value
  }
  put(Page.SV39_ROOT, 2, entry(Page.LEVEL1, V))
  // Entries that are wrong in themselves: a table outside, a misaligned superpage, reserved high bits, A set on a pointer.
  put(Page.SV39_ROOT, 3, entry(-300, V))
  put(Page.SV39_ROOT, 4, entry(0, R | W | X | U | V | AD))
  put(Page.SV39_ROOT, 5, entry(Page.LEVEL1, V) | (1n << 60n))
  put(Page.SV39_ROOT, 6, entry(Page.LEVEL1, V | 0x40))
  put(Page.SV39_ROOT, 510, entry(Page.LEVEL1, V))
  put(Page.SV48_ROOT, 0, entry(Page.SV39_ROOT, V))
  put(Page.SV48_ROOT, 511, entry(Page.SV39_ROOT, V))
  put(Page.LEVEL1, 0, entry(Page.LEVEL0, V))
  put(Page.LEVEL1, 1, entry(-256, R | W | X | U | V | AD))
  put(Page.LEVEL1, 2, entry(5, R | W | U | V | AD))
  IDENTITY.forEach(({ page, flags }, i) => put(Page.LEVEL0, 256 + i, entry(page, flags)))
  ALIASES.forEach(({ page, flags }, i) => put(Page.LEVEL0, 320 + i, entry(page, flags)))
  return bytes
}

/** The hash that both sides compute over the data pages. */
export function hashArena(words: Readonly<Uint32Array>): number {
  let hash = 0
  for (let i = Page.DATA_U * 1024; i < MUTABLE_BYTES / 4; i++)
    hash = (Math.imul(hash, HASH_FACTOR) + (words[i] as number)) | 0
  return hash
}
export const HASH_FACTOR = 0x2545f491

const satp = (mode: number, root: number): bigint => (BigInt(mode) << 60n) | BigInt(address(root) / 4096)
export const SATP_SV39: bigint = satp(8, Page.SV39_ROOT)
export const SATP_SV48: bigint = satp(9, Page.SV48_ROOT)
