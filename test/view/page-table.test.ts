import test from 'ava'
import { hpa } from '../../src/base/index.ts'
import {
  PTE_A,
  PTE_D,
  PTE_R,
  PTE_U,
  PTE_V,
  PTE_W,
  PTE_X,
  PhysicalMemory,
  PhysicalPteSource,
  SV39,
  SV39X4,
  pteHigh,
  pteLow,
} from '../../src/hardware/index.ts'
import { infoMemLines, pageTableLeaves, pteAttributes, spteLines } from '../../src/view/index.ts'

const RW = PTE_V | PTE_R | PTE_W | PTE_U | PTE_A | PTE_D

/** Root in frame 4 (four pages for an x4 mode), then tables 8 and 9. */
function memoryWithTables(): PhysicalMemory {
  const memory = new PhysicalMemory(64)
  const set = (table: number, index: number, ppn: number, flags: number): void =>
    memory.writePte(hpa(table * 4096 + index * 8), pteLow(ppn, flags), pteHigh(ppn))
  set(4, 2, 8, PTE_V)
  set(8, 0, 9, PTE_V)
  set(8, 1, 512, PTE_V | PTE_R | PTE_X | PTE_A)
  set(9, 0, 0x42, RW)
  set(9, 1, 0x43, RW)
  set(9, 2, 0x50, RW)
  set(9, 3, 0x51, RW & ~PTE_W & ~PTE_D)
  return memory
}

test('info mem merges what continues in both addresses with the same attributes', (t) => {
  const leaves = pageTableLeaves(new PhysicalPteSource(memoryWithTables()), 4 * 4096, SV39)
  t.deepEqual(infoMemLines(leaves), [
    'vaddr            paddr            size             attr',
    '---------------- ---------------- ---------------- -------',
    '0000000080000000 0000000000042000 0000000000002000 rw-u-ad',
    '0000000080002000 0000000000050000 0000000000001000 rw-u-ad',
    '0000000080003000 0000000000051000 0000000000001000 r--u-a-',
    '0000000080200000 0000000000200000 0000000000200000 r-x--a-',
  ])
})

test('the upper half of a virtual address space is sign-extended', (t) => {
  const memory = new PhysicalMemory(64)
  memory.writePte(hpa(4 * 4096 + 511 * 8), pteLow(1 << 18, PTE_V | PTE_R), 0)
  t.deepEqual(infoMemLines(pageTableLeaves(new PhysicalPteSource(memory), 4 * 4096, SV39)).slice(2), [
    'ffffffffc0000000 0000000040000000 0000000040000000 r------',
  ])
})

test('the spte table names gfn, frame, level, rights and what the host allows', (t) => {
  const leaves = pageTableLeaves(new PhysicalPteSource(memoryWithTables()), 4 * 4096, SV39X4)
  t.deepEqual(
    spteLines(leaves, (low) => (low & PTE_D) !== 0),
    [
      'gfn      hpa       level  attr     host  sptep',
      '0x80000  0x42000       1  rw-u-ad  w     0x9000',
      '0x80001  0x43000       1  rw-u-ad  w     0x9008',
      '0x80002  0x50000       1  rw-u-ad  w     0x9010',
      '0x80003  0x51000       1  r--u-a-  -     0x9018',
      '0x80200  0x200000      2  r-x--a-  -     0x8008',
    ],
  )
})

test('a table that lies outside memory is a row, not a failure', (t) => {
  const memory = memoryWithTables()
  memory.writePte(hpa(4 * 4096 + 3 * 8), pteLow(0x1234, PTE_V), 0)
  t.is(
    infoMemLines(pageTableLeaves(new PhysicalPteSource(memory), 4 * 4096, SV39)).at(-1),
    '00000000c0000000 unreachable      0000000040000000',
  )
})

test('attributes are the letters of QEMU, in its order', (t) => {
  t.is(pteAttributes(0xff), 'rwxugad')
  t.is(pteAttributes(PTE_V | PTE_X), '--x----')
})
