/**
 * The address translation process once more, in BigInt and straight from the text of the specification: the walker's oracle.
 *
 * R1 Shares no code with src/hardware; numbers of the specification are written out here again.
 */

export interface NaiveMode {
  readonly levels: number
  readonly rootBits: number
  readonly vaBits: number
  readonly guest: boolean
}
export const NAIVE_MODES: Readonly<Record<string, NaiveMode>> = {
  sv39: { levels: 3, rootBits: 9, vaBits: 39, guest: false },
  sv48: { levels: 4, rootBits: 9, vaBits: 48, guest: false },
  sv57: { levels: 5, rootBits: 9, vaBits: 57, guest: false },
  sv39x4: { levels: 3, rootBits: 11, vaBits: 41, guest: true },
  sv48x4: { levels: 4, rootBits: 11, vaBits: 50, guest: true },
  sv57x4: { levels: 5, rootBits: 11, vaBits: 59, guest: true },
}

export interface NaiveRequest {
  readonly mode: NaiveMode
  readonly root: bigint
  readonly va: bigint
  readonly access: 'read' | 'write' | 'execute'
  readonly user: boolean
  readonly sum: boolean
  readonly mxr: boolean
  readonly svadu: boolean
  readonly svnapot: boolean
  readonly svpbmt: boolean
}

export type NaiveResult =
  | { readonly ok: true; readonly pa: bigint; readonly level: number; readonly pte: bigint; readonly global: boolean }
  | { readonly ok: false; readonly cause: number }

/** Physical memory as the oracle sees it: undefined where there is none. */
export interface NaiveMemory {
  read(address: bigint): bigint | undefined
  write(address: bigint, value: bigint): void
}

const bits = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n)

export function naiveWalk(memory: NaiveMemory, request: NaiveRequest): NaiveResult {
  const { mode, va, access } = request
  const pick = { read: 0, write: 1, execute: 2 }[access]
  const pageFault = { ok: false, cause: (mode.guest ? [21, 23, 20] : [13, 15, 12])[pick] as number } as const
  const accessFault = { ok: false, cause: [5, 7, 1][pick] as number } as const

  // Addresses wider than the mode: sign extension, or zero extension for guest physical ones.
  const upper = va >> BigInt(mode.guest ? mode.vaBits : mode.vaBits - 1)
  const ones = (1n << BigInt(64 - mode.vaBits + 1)) - 1n
  if (mode.guest ? upper !== 0n : upper !== 0n && upper !== ones) return pageFault

  let a = request.root * 4096n
  let i = mode.levels - 1
  let global = false
  for (;;) {
    const width = i === mode.levels - 1 ? mode.rootBits : 9
    const vpn = bits(va, 12 + 9 * i + width - 1, 12 + 9 * i)
    const address = a + vpn * 8n
    const pte = memory.read(address)
    if (pte === undefined) return accessFault
    const [v, r, w, x, u, g] = [0, 1, 2, 3, 4, 5].map((bit) => bits(pte, bit, bit) === 1n) as [
      boolean,
      boolean,
      boolean,
      boolean,
      boolean,
      boolean,
    ]
    const n = bits(pte, 63, 63)
    const pbmt = bits(pte, 62, 61)
    if (!v) return pageFault
    if (!r && w) return pageFault
    if (bits(pte, 60, 54) !== 0n) return pageFault
    if (n !== 0n && !request.svnapot) return pageFault
    if (pbmt !== 0n && !request.svpbmt) return pageFault
    global ||= g
    let ppn = bits(pte, 53, 10)
    if (!r && !x) {
      if (u || bits(pte, 7, 6) !== 0n || n !== 0n || pbmt !== 0n) return pageFault
      i -= 1
      if (i < 0) return pageFault
      a = ppn * 4096n
      continue
    }
    if (pbmt === 3n) return pageFault
    const asUser = request.user || mode.guest
    if (asUser && !u) return pageFault
    if (!asUser && u && (!request.sum || access === 'execute')) return pageFault
    if (access === 'read' && !r && !(x && request.mxr)) return pageFault
    if (access === 'write' && !w) return pageFault
    if (access === 'execute' && !x) return pageFault
    const low = BigInt(9 * i)
    if (n === 1n) {
      if (i !== 0 || bits(ppn, 3, 0) !== 8n) return pageFault
      ppn = (ppn & ~15n) | bits(va, 15, 12)
    } else if ((ppn & ((1n << low) - 1n)) !== 0n) return pageFault
    let updated = pte | 0x40n
    if (access === 'write') updated |= 0x80n
    if (updated !== pte) {
      if (!request.svadu) return pageFault
      memory.write(address, updated)
    }
    const offset = 12n + low
    const pa = n === 1n ? (ppn << 12n) | bits(va, 11, 0) : ((ppn >> low) << offset) | (va & ((1n << offset) - 1n))
    return { ok: true, pa, level: i, pte: updated, global }
  }
}
