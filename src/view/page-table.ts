/**
 * Page tables as text: QEMU's `info mem` for host, guest and shadow tables, and the spte table in the same style.
 *
 * ```
 * vaddr            paddr            size             attr
 * ---------------- ---------------- ---------------- -------
 * 0000000080000000 0000000000042000 0000000000002000 rw-u-ad
 * ```
 * R1 Neighbours that continue each other in both addresses, with equal attributes, are one row.
 * R2 A table page that cannot be reached (swapped out, outside memory) is a row of its own, never an exception.
 */
import { PAGE_SIZE } from '../base/index.ts'
import {
  PTE_A,
  PTE_D,
  PTE_G,
  PTE_R,
  PTE_U,
  PTE_W,
  PTE_X,
  PteResult,
  extendPage,
  isLeafPte,
  isTablePte,
  leafPages,
  ptePpn,
} from '../hardware/index.ts'
import type { PagingMode, PteSource } from '../hardware/index.ts'
import { tableLines } from './table.ts'

/** One leaf of a table, or a part of it that cannot be reached. */
export interface PageTableLeaf {
  /** First page number translated (52 bits). */
  readonly page: number
  /** First page number it leads to; -1 when the table cannot be reached. */
  readonly ppn: number
  readonly pages: number
  /** 1 is a 4 KiB leaf, as the kernel counts. */
  readonly level: number
  /** Low half of the PTE. */
  readonly low: number
  readonly pteAddress: number
}

const PTE_BYTES = 8

/**
 * Every leaf of a table, in the order of its addresses.
 * @param source reads PTEs at the addresses that the table uses: physical ones, or guest physical ones
 * @param root address of the root table, in bytes
 */
export function pageTableLeaves(source: PteSource, root: number, mode: PagingMode): PageTableLeaf[] {
  const leaves: PageTableLeaf[] = []
  const visit = (table: number, level: number, base: number): void => {
    const entries = 2 ** (level === mode.levels - 1 ? mode.rootBits : 9)
    const span = leafPages(level)
    for (let i = 0; i < entries; i++) {
      const pteAddress = table + i * PTE_BYTES
      const page = extendPage(mode, base + i * span)
      if (source.load(pteAddress) !== PteResult.done) {
        leaves.push({ page, ppn: -1, pages: (entries - i) * span, level: level + 1, low: 0, pteAddress })
        return
      }
      const { low, high } = source
      if (isLeafPte(low)) {
        leaves.push({ page, ppn: ptePpn(low, high), pages: span, level: level + 1, low, pteAddress })
      } else if (isTablePte(low) && level > 0) {
        visit(ptePpn(low, high) * PAGE_SIZE, level - 1, base + i * span)
      }
    }
  }
  visit(root, mode.levels - 1, 0)
  return leaves
}

const LETTERS = [
  [PTE_R, 'r'],
  [PTE_W, 'w'],
  [PTE_X, 'x'],
  [PTE_U, 'u'],
  [PTE_G, 'g'],
  [PTE_A, 'a'],
  [PTE_D, 'd'],
] as const

/** `rwxugad`, a dash for each clear bit. */
export const pteAttributes = (low: number): string =>
  LETTERS.map(([bit, letter]) => ((low & bit) === 0 ? '-' : letter)).join('')

const digits16 = (value: bigint): string => BigInt.asUintN(64, value).toString(16).padStart(16, '0')
const address16 = (page: number): string => digits16(BigInt(page) << 12n)

/** QEMU's `info mem` for leaves in the order of their addresses. */
export function infoMemLines(leaves: readonly PageTableLeaf[]): string[] {
  const lines = [
    'vaddr            paddr            size             attr',
    '---------------- ---------------- ---------------- -------',
  ]
  for (let i = 0; i < leaves.length;) {
    const first = leaves[i]!
    let pages = first.pages
    for (i++; i < leaves.length; i++) {
      const next = leaves[i]!
      const follows = next.page === first.page + pages && next.ppn === first.ppn + pages && first.ppn >= 0
      if (!follows || pteAttributes(next.low) !== pteAttributes(first.low)) break
      pages += next.pages
    }
    const lead = address16(first.page)
    const size = digits16(BigInt(pages) * BigInt(PAGE_SIZE))
    if (first.ppn < 0) lines.push(`${lead} ${'unreachable'.padEnd(16)} ${size}`)
    else lines.push(`${lead} ${address16(first.ppn)} ${size} ${pteAttributes(first.low)}`)
  }
  return lines
}

/**
 * The sptes of a VM, one a row: guest frame, host physical address, leaf level, attributes, and whether the host lets the
 * page be written.
 * @param hostWritable reads the software bit that the spte format keeps for it
 */
export function spteLines(leaves: readonly PageTableLeaf[], hostWritable: (low: number) => boolean): string[] {
  return tableLines(
    ['gfn', 'hpa', 'level', 'attr', 'host', 'sptep'],
    leaves.map((leaf) => [
      `0x${leaf.page.toString(16)}`,
      leaf.ppn < 0 ? 'unreachable' : `0x${(leaf.ppn * PAGE_SIZE).toString(16)}`,
      leaf.level,
      pteAttributes(leaf.low),
      hostWritable(leaf.low) ? 'w' : '-',
      `0x${leaf.pteAddress.toString(16)}`,
    ]),
  )
}
