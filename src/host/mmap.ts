/**
 * mmap (Linux v6.12 mm/mmap.c).
 *
 * R1 A new mapping never shows what was mapped at the address before: MAP_FIXED unmaps first, with all its callouts.
 * R2 The VMA is visible before mmap returns; pages come with the first access.
 * R3 Without an address the kernel takes the highest free range below the mmap base.
 */
import { KernelError, PAGE_SIZE, hex } from '../base/index.ts'
import type { Hva } from '../base/index.ts'
import type { AddressSpace } from './address-space.ts'
import type { Mm } from './mm.ts'
import { munmapLocked } from './munmap.ts'
import { TASK_SIZE } from './page-table.ts'
import { PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE, protText } from './pte.ts'
import { Vma, mergeRange, vmaLink } from './vma.ts'

/** Highest address that mmap chooses by itself. */
export const MMAP_BASE = 0x3f_0000_0000
/** Nothing is mapped below (sysctl vm.mmap_min_addr). */
export const MMAP_MIN_ADDR = 0x1_0000
/** sysctl vm.max_map_count. */
export const MAX_MAP_COUNT = 65530

export type Prot = '-' | 'r' | 'w' | 'x' | 'rw' | 'rx' | 'wx' | 'rwx'

const PROTS: Readonly<Record<Prot, number>> = {
  '-': PROT_NONE,
  r: PROT_READ,
  w: PROT_WRITE,
  x: PROT_EXEC,
  rw: PROT_READ | PROT_WRITE,
  rx: PROT_READ | PROT_EXEC,
  wx: PROT_WRITE | PROT_EXEC,
  rwx: PROT_READ | PROT_WRITE | PROT_EXEC,
}

export interface MmapOptions {
  /** Bytes, rounded up to pages. */
  readonly length: number
  /** Default `rw`. Right to write includes the right to read (RISC-V has no write-only pages). */
  readonly prot?: Prot
  /** A wish, or with `fixed` the place. Default: the kernel chooses. */
  readonly addr?: number
  /** MAP_FIXED: exactly there, in place of what is mapped. Default false. */
  readonly fixed?: boolean
  /** MAP_FIXED_NOREPLACE: exactly there, or EEXIST. Default false. */
  readonly noReplace?: boolean
  /** MAP_SHARED: stores are seen by others and outlive the mapping. Default false: private, copied on write. */
  readonly shared?: boolean
  /** The file to map; without one the memory is anonymous. */
  readonly file?: AddressSpace
  /** Offset in the file of the first byte, a multiple of the page size. Default 0. */
  readonly offset?: number
}

/** What mmap returned. */
export interface Mapping {
  readonly start: Hva
  /** Bytes, a multiple of the page size. */
  readonly length: number
}

/** @throws KernelError EINVAL for an unknown protection */
export function parseProt(what: string, prot: string): number {
  const bits = PROTS[prot as Prot]
  if (bits === undefined)
    throw new KernelError('EINVAL', `${what}: protection '${prot}': expected some of r, w, x, or -`)
  return bits
}

/**
 * Maps memory.
 * @throws KernelError EINVAL for a bad length, address or offset; EPERM below the minimum address; EEXIST with
 *   `noReplace`; ENOMEM when no free range or no further VMA is to be had
 */
export async function mmap(mm: Mm, options: MmapOptions): Promise<Mapping> {
  const { length, addr, file, shared = false, offset = 0 } = options
  const exact = options.fixed === true || options.noReplace === true
  const prot = parseProt('mmap', options.prot ?? 'rw')
  const bytes = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE
  if (!Number.isInteger(length) || length <= 0) {
    throw new KernelError('EINVAL', `mmap: length ${length}: expected a number of bytes above 0`)
  }
  if (!Number.isInteger(offset) || offset < 0 || offset % PAGE_SIZE !== 0) {
    throw new KernelError('EINVAL', `mmap: file offset ${offset} is not a multiple of ${PAGE_SIZE}`)
  }
  if (exact) checkFixed(mm, addr, bytes)
  if (bytes > TASK_SIZE) throw new KernelError('ENOMEM', `mmap: ${length} bytes exceed the address space`)

  await mm.mmapLock.downWrite()
  try {
    if (mm.vmas.size >= MAX_MAP_COUNT) throw new KernelError('ENOMEM', `mmap: ${mm.name} has ${MAX_MAP_COUNT} mappings`)
    const start = exact ? (addr as number) : unmappedArea(mm, addr, bytes)
    if (exact && !mm.vmas.isFree(start, start + bytes)) {
      if (options.noReplace === true) {
        throw new KernelError('EEXIST', `mmap: [${hex(start)}-${hex(start + bytes)}] is mapped already`)
      }
      await munmapLocked(mm, start, start + bytes)
    }
    await mapRegion(mm, start, bytes, prot, shared, file ?? null, offset)
    return { start: start as Hva, length: bytes }
  } finally {
    mm.mmapLock.upWrite()
  }
}

/** Links the VMA of a free range (Linux: __mmap_region). Under the mmap lock for writing. */
async function mapRegion(
  mm: Mm,
  start: number,
  bytes: number,
  prot: number,
  shared: boolean,
  file: AddressSpace | null,
  offset: number,
): Promise<void> {
  const end = start + bytes
  // Anonymous shared memory is a nameless file that lives as long as its mappings (Linux: shmem_zero_setup).
  const nameless = shared && file === null ? mm.kernel.createFile({ name: 'dev/zero', size: bytes }) : null
  const backing = nameless ?? file
  const pgoff = backing === null ? start / PAGE_SIZE : offset / PAGE_SIZE
  await vmaLink(new Vma(mm, { start, end, prot, flags: 0, shared, file: backing, pgoff }))
  if (nameless !== null) await nameless.put()
  const { trace } = mm.kernel
  if (trace.on) {
    const event = { mm: mm.id, start, end, file: backing?.id ?? -1, offset, shared, prot: protText(prot) }
    trace.emit({ name: 'mm_mmap', ...event })
  }
  await mergeRange(mm, start, end)
}

function checkFixed(mm: Mm, addr: number | undefined, bytes: number): void {
  if (addr === undefined) throw new KernelError('EINVAL', 'mmap: a fixed mapping needs an address')
  mm.checkRange('mmap', addr, bytes)
  if (addr < MMAP_MIN_ADDR) {
    throw new KernelError('EPERM', `mmap: address ${hex(addr)} is below the minimum, ${hex(MMAP_MIN_ADDR)}`)
  }
}

/** A free range: at the wish if it is free, else the highest (Linux: arch_get_unmapped_area_topdown). */
function unmappedArea(mm: Mm, wish: number | undefined, bytes: number): number {
  if (wish !== undefined) {
    const at = Math.ceil(wish / PAGE_SIZE) * PAGE_SIZE
    if (at >= MMAP_MIN_ADDR && at + bytes <= TASK_SIZE && mm.vmas.isFree(at, at + bytes)) return at
  }
  let start = mm.vmas.highestGap(bytes, MMAP_MIN_ADDR, MMAP_BASE)
  if (start === -1) start = mm.vmas.highestGap(bytes, MMAP_MIN_ADDR, TASK_SIZE)
  if (start === -1) throw new KernelError('ENOMEM', `mmap: no free range of ${bytes} bytes in ${mm.name}`)
  return start
}
