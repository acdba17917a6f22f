/**
 * The RISC-V page table entry of Sv39, Sv48 and Sv57 and their x4 variants, handled as two unsigned 32-bit halves.
 *
 * ```
 *  63  62   61 60      54 53                     10 9   8 7 6 5 4 3 2 1 0
 * | N | PBMT  | reserved |           PPN           | RSW | D A G U X W R V |
 * ```
 * Source: RISC-V privileged architecture, "Sv39: Page-Based 39-bit Virtual-Memory System", Svnapot, Svpbmt.
 *
 * R1 No BigInt: the page number is low >>> 10 plus 2^22 times the low 22 bits of the high half (44 bits, exact in a double).
 */

/** Bits of the low half. */
export const PTE_V = 0x001
export const PTE_R = 0x002
export const PTE_W = 0x004
export const PTE_X = 0x008
export const PTE_U = 0x010
export const PTE_G = 0x020
export const PTE_A = 0x040
export const PTE_D = 0x080
/** The two bits that hardware ignores and software may use. */
export const PTE_RSW: number = 0x300
export const PTE_RSW_LOW = 0x100
export const PTE_RSW_HIGH = 0x200
/** All ten flag bits below the page number. */
export const PTE_FLAGS = 0x3ff
export const PTE_RWX: number = PTE_R | PTE_W | PTE_X
/** Reserved in a PTE that points to the next table. */
export const PTE_POINTER_RESERVED: number = PTE_D | PTE_A | PTE_U

/** Bits of the high half: 60..54 reserved, 62..61 memory type (Svpbmt), 63 contiguity (Svnapot). */
export const PTE_HIGH_PPN = 0x003fffff
export const PTE_HIGH_RESERVED = 0x1fc00000
export const PTE_HIGH_PBMT = 0x60000000
/** Bit 31 alone; test it with `high >>> 31`, since `&` gives a negative number. */
export const PTE_HIGH_N = 0x80000000

const PPN_SHIFT = 10
const LOW_PPN_BITS = 0x00400000
/** One more than the largest page number a PTE can hold. */
export const PTE_PPN_LIMIT: number = 2 ** 44

/** The physical page number in a PTE (44 bits). */
export const ptePpn = (low: number, high: number): number => (low >>> PPN_SHIFT) + (high & PTE_HIGH_PPN) * LOW_PPN_BITS
/** The low half of a PTE that names page `ppn` with `flags` (PTE_*). */
export const pteLow = (ppn: number, flags: number): number => ((ppn << PPN_SHIFT) | flags) >>> 0
/** The high half of a PTE that names page `ppn`, its top ten bits clear. */
export const pteHigh = (ppn: number): number => Math.floor(ppn / LOW_PPN_BITS)

export const isValidPte = (low: number): boolean => (low & PTE_V) !== 0
/** A valid PTE that maps a page; with R, W and X all clear it points to the next table. */
export const isLeafPte = (low: number): boolean => (low & PTE_V) !== 0 && (low & PTE_RWX) !== 0
export const isTablePte = (low: number): boolean => (low & (PTE_V | PTE_RWX)) === PTE_V

/** A PTE as text, flags in the order of the bits: `pfn 0x1f rw-u-ad`. */
export function pteText(low: number, high: number): string {
  const flag = (bit: number, letter: string): string => ((low & bit) === 0 ? '-' : letter)
  const flags =
    flag(PTE_V, 'v') +
    flag(PTE_R, 'r') +
    flag(PTE_W, 'w') +
    flag(PTE_X, 'x') +
    flag(PTE_U, 'u') +
    flag(PTE_G, 'g') +
    flag(PTE_A, 'a') +
    flag(PTE_D, 'd')
  const upper = high >>> 22
  const extra = upper === 0 ? '' : ` high 0x${upper.toString(16)}`
  const software = (low & PTE_RSW) === 0 ? '' : ` rsw ${(low & PTE_RSW) >>> 8}`
  return `ppn 0x${ptePpn(low, high).toString(16)} ${flags}${software}${extra}`
}
