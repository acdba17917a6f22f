/** Worlds whose guests have page tables of their own: where they lie, and how they are edited. */
import { PAGE_SIZE, gpa } from '../../base/index.ts'
import { PTE_A, PTE_D, PTE_R, PTE_V, PTE_W, pteLow } from '../../hardware/index.ts'
import type { Vcpu } from '../../mmu/index.ts'
import { FIRST_GFN } from '../world.ts'
import type { World } from '../world.ts'

// Pages of guest memory: three tables of Sv39, then two pages of data.
const ROOT = 0
/** Its first entry points to the leaves. */
export const MIDDLE = 1
/** Its first entry maps guest virtual page 0. */
export const LEAVES = 2
export const DATA = 3
export const OTHER_DATA = 4
/** Pages that a world with such a guest has. */
export const TABLE_PAGES = 5

const SV39_SATP: bigint = (8n << 60n) | BigInt(FIRST_GFN + ROOT)
/** Guest virtual addresses begin where guest memory does: bits 38 to 30 of the first are 2. */
const ROOT_INDEX = 2

/** A guest PTE: a page of data, readable and writable, used and dirty. */
export const leafOf = (page: number): number => pteLow(FIRST_GFN + page, PTE_V | PTE_R | PTE_W | PTE_A | PTE_D)

async function setEntry({ vm }: World, table: number, index: number, low: number): Promise<void> {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setUint32(0, low, true)
  await vm.writeGuest(gpa((FIRST_GFN + table) * PAGE_SIZE + index * 8), bytes)
}

/** Builds tables that map guest virtual page 0 to DATA and every other page to itself, and writes the page numbers. */
export async function buildTables(world: World): Promise<void> {
  await setEntry(world, ROOT, ROOT_INDEX, pteLow(FIRST_GFN + MIDDLE, PTE_V))
  await setEntry(world, MIDDLE, 0, pteLow(FIRST_GFN + LEAVES, PTE_V))
  for (let page = 1; page < TABLE_PAGES; page++) await setEntry(world, LEAVES, page, leafOf(page))
  await setEntry(world, LEAVES, 0, leafOf(DATA))
  for (const page of [DATA, OTHER_DATA]) await setEntry(world, page, 0, page)
}

/** The PTE of guest virtual page 0 has neither A nor D: whoever walks it next sets them. */
export const forgetUse = (world: World): Promise<void> =>
  setEntry(world, LEAVES, 0, pteLow(FIRST_GFN + DATA, PTE_V | PTE_R | PTE_W))

/** The guest turns paging on. */
export function turnPagingOn(vcpu: Vcpu): void {
  vcpu.setContext(1)
  vcpu.setSatp(SV39_SATP)
}
