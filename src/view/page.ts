/** One page as the kernel's drgn scripts print it: a name and a value a line, flags joined by `|`. */

/** What is known about a frame. Plain data. */
export interface PageReport {
  readonly pfn: number
  /** Names of the set flags, without `PG_`. */
  readonly flags: readonly string[]
  readonly kind: string
  readonly refcount: number
  readonly mapcount: number
  readonly index?: number
  readonly mapping?: string
  /** Where it is mapped. */
  readonly maps?: readonly {
    readonly mm: number
    readonly hva: number
    readonly vmaStart: number
    readonly vmaEnd: number
    readonly prot: string
  }[]
}

const hex = (value: number): string => `0x${value.toString(16)}`

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
  for (const map of page.maps ?? []) {
    lines.push(`Mapped at: ${hex(map.hva)} in mm ${map.mm}, VMA ${hex(map.vmaStart)}-${hex(map.vmaEnd)} ${map.prot}`)
  }
  return lines
}
