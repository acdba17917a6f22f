/** One page as the kernel's drgn scripts print it: a name and a value a line, flags joined by `|`. */
import type { AddressReport, PageReport } from '../check/index.ts'

const hex = (value: number): string => `0x${value.toString(16)}`

const bitsText = (bits: readonly string[]): string => (bits.length === 0 ? '' : ` ${bits.join(' ')}`)

/** The frame. */
export function pageLines(page: PageReport): string[] {
  const lines = [
    `PFN: ${hex(page.pfn)}`,
    `Physical address: ${hex(page.pfn * 4096)}`,
    `Kind: ${page.kind}`,
    `Flags: ${page.flags.map((flag) => `PG_${flag}`).join('|') || '0'}`,
    `Reference count: ${page.refcount}`,
    `Map count: ${page.mapcount}`,
  ]
  if (page.mapping !== undefined) lines.push(`Mapping: ${page.mapping}`)
  if (page.index !== undefined) lines.push(`Index: ${hex(page.index)}`)
  if (page.swapSlot !== undefined) lines.push(`Swap slot: ${page.swapSlot}`)
  for (const { hva, mm, vmaStart, vmaEnd, prot, bits } of page.maps ?? []) {
    lines.push(`Mapped at: ${hex(hva)} in mm ${mm}, VMA ${hex(vmaStart)}-${hex(vmaEnd)} ${prot}, PTE${bitsText(bits)}`)
  }
  return lines
}

/** A page of an mm: what its PTE says, who else translates it, and its frame. */
export function addressLines({ mm, hva, state, swap, page, translations }: AddressReport): string[] {
  const slot = swap === null ? '' : `, slot ${swap.slot} with ${swap.users} user${swap.users === 1 ? '' : 's'}`
  const lines = [`Address: ${hex(hva)} in mm ${mm}: ${state}${slot}`]
  for (const { holder, gfn, pfn, bits } of translations) {
    lines.push(`Translated by: ${holder}${gfn === -1 ? '' : `, gfn ${hex(gfn)}`} -> PFN ${hex(pfn)}${bitsText(bits)}`)
  }
  return page === null ? lines : [...lines, ...pageLines(page)]
}
