/**
 * Host operations as a real KVM shows them to a guest: cases recorded on Linux 6.18, replayed here.
 *
 * Each case: 64 pages in one slot, page i first holding 0x1000 + i, all of them touched by the guest; then the host
 * operation, while the vCPU is outside; then the guest reads page 8 and stores to page 16. One more page, the guest's
 * code, is private anonymous memory of the same mm. Compared: the result, the sptes before and after, what guest and
 * host read, and the frame where it was recorded as the same. Numbers of faults depend on prefetching and are not.
 */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { KernelError, PAGE_SIZE, hpa } from '../../src/base/index.ts'
import {
  Kernel,
  clearReferences,
  clearSoftDirty,
  fsync,
  punchHole,
  truncateFile,
  writeFile,
} from '../../src/host/index.ts'
import type { AddressSpace, HostThread, Mm } from '../../src/host/index.ts'
import { Vm } from '../../src/mmu/index.ts'
import type { Vcpu } from '../../src/mmu/index.ts'
import { pageOf } from './world.ts'

interface Case {
  readonly op: string
  readonly backing: string
  readonly touch: 'R' | 'W'
  readonly rc: number
  readonly spte_before: number
  readonly spte_after: number
  readonly read: string
  readonly host_read: string
  readonly write: string
  readonly host_after_write: string
  readonly pfn: string
}

const PAGES = 64
const PMD_SIZE = 512 * PAGE_SIZE
const LENGTH = PAGES * PAGE_SIZE
const GFN = 0x80000
const CODE = 0x100

interface Setup {
  readonly kernel: Kernel
  readonly mm: Mm
  readonly thread: HostThread
  readonly file: AddressSpace | null
  readonly base: number
  child: Mm | null
}

const fill = async (thread: HostThread, base: number, first: number): Promise<void> => {
  for (let page = 0; page < PAGES; page++) await thread.store32(base + page * PAGE_SIZE, first + page)
}

const fileBytes = (first: number): Uint8Array => {
  const bytes = new Uint8Array(LENGTH)
  for (let page = 0; page < PAGES; page++) new DataView(bytes.buffer).setUint32(page * PAGE_SIZE, first + page, true)
  return bytes
}

/** The recorded operations that this host has. */
const OPERATIONS: Record<string, (setup: Setup) => Promise<void>> = {
  none: async () => {},
  'host store 0x2000+i': ({ thread, base }) => fill(thread, base, 0x2000),
  munmap: ({ mm, base }) => mm.munmap(base, LENGTH),
  'munmap+mmap anon (0x3000+i)': async ({ mm, thread, base }) => {
    await mm.munmap(base, LENGTH)
    await mm.mmap({ addr: base, fixed: true, length: LENGTH })
    await fill(thread, base, 0x3000)
  },
  'mmap MAP_FIXED anon over': async ({ mm, base }) => {
    await mm.mmap({ addr: base, fixed: true, length: LENGTH })
  },
  MADV_DONTNEED: ({ mm, base }) => mm.madvise(base, LENGTH, 'dontneed'),
  MADV_FREE: ({ mm, base }) => mm.madvise(base, LENGTH, 'free'),
  MADV_COLD: ({ mm, base }) => mm.madvise(base, LENGTH, 'cold'),
  MADV_PAGEOUT: ({ mm, base }) => mm.madvise(base, LENGTH, 'pageout'),
  MADV_POPULATE_WRITE: ({ mm, base }) => mm.madvise(base, LENGTH, 'populateWrite'),
  'MADV_MERGEABLE (ksm run=0)': ({ mm, base }) => mm.madvise(base, LENGTH, 'mergeable'),
  'mprotect R': ({ mm, base }) => mm.mprotect(base, LENGTH, 'r'),
  'mprotect NONE': ({ mm, base }) => mm.mprotect(base, LENGTH, '-'),
  'mprotect NONE,RW': async ({ mm, base }) => {
    await mm.mprotect(base, LENGTH, '-')
    await mm.mprotect(base, LENGTH, 'rw')
  },
  'mprotect R,RW': async ({ mm, base }) => {
    await mm.mprotect(base, LENGTH, 'r')
    await mm.mprotect(base, LENGTH, 'rw')
  },
  'mremap away': async ({ mm, base }) => {
    await mm.mremap(base, LENGTH, LENGTH, { to: 0x5000_0000 })
  },
  'mremap other (0x4000+i) onto': async ({ mm, thread, base }) => {
    const other = await mm.mmap({ length: LENGTH })
    await fill(thread, other.start, 0x4000)
    await mm.mremap(other.start, LENGTH, LENGTH, { to: base })
  },
  'fork (child alive)': async (setup) => {
    setup.child = await setup.mm.fork()
  },
  'fork, parent stores 0x5000+i': async (setup) => {
    setup.child = await setup.mm.fork()
    await fill(setup.thread, setup.base, 0x5000)
  },
  'fork, child stores 0x6000+i': async (setup) => {
    setup.child = await setup.mm.fork()
    const thread = setup.child.createThread()
    await fill(thread, setup.base, 0x6000)
    thread.exit()
  },
  'hole punch': ({ file }) => punchHole(file!, 0, LENGTH),
  MADV_REMOVE: ({ mm, base }) => mm.madvise(base, LENGTH, 'remove'),
  'ftruncate 0': ({ file }) => truncateFile(file!, 0),
  'pwrite 0x7000+i to file': ({ file }) => writeFile(file!, 0, fileBytes(0x7000)),
  fsync: ({ file }) => fsync(file!),
  MADV_COLLAPSE: ({ mm, base }) => mm.madvise(base, Math.max(LENGTH, PMD_SIZE), 'collapse'),
  'clear_refs 1 (young)': ({ mm }) => clearReferences(mm),
  'clear_refs 4 (soft-dirty)': ({ mm }) => clearSoftDirty(mm),
  'sub 4p MADV_DONTNEED': ({ mm, base }) => mm.madvise(base, 4 * PAGE_SIZE, 'dontneed'),
  'sub 4p mprotect R': ({ mm, base }) => mm.mprotect(base, 4 * PAGE_SIZE, 'r'),
}

const CASES: readonly Case[] = readFileSync(new URL('../../../test/fixtures/real-kvm.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Case)

/** The guest's access, in the words of the recording. */
async function access(vcpu: Vcpu, frame: number, value?: number): Promise<string> {
  for (;;) {
    await vcpu.enterGuest()
    const at = value === undefined ? vcpu.translateRead(pageOf(frame)) : vcpu.translateWrite(pageOf(frame))
    if (at !== -1) {
      if (value !== undefined) vcpu.bytes.write32(hpa(at), value)
      const shown = value === undefined ? `OUT10 rax=${vcpu.bytes.read32(hpa(at)).toString(16)}` : 'OUT11 rax=0'
      vcpu.exitGuest()
      return shown
    }
    const outcome = await vcpu.handleMiss()
    if (outcome === 'efault') return 'KVM_RUN=-1 errno=14(EFAULT)'
    if (outcome !== 'retry') return outcome
  }
}

async function hostRead(thread: HostThread, address: number): Promise<string> {
  try {
    return (await thread.load32(address)).toString(16)
  } catch (error) {
    return error instanceof KernelError && error.code === 'EFAULT' ? 'err -14' : String(error)
  }
}

async function map(kernel: Kernel, backing: string): Promise<Omit<Setup, 'child'>> {
  const mm = await kernel.createMm('vmm')
  const thread = mm.createThread()
  const kind = backing.split('-')[0]!
  if (kind === 'anon') {
    const huge = backing === 'anon-thp'
    const where = huge ? { addr: 0x4000_0000, length: PMD_SIZE } : { length: LENGTH }
    const { start } = await mm.mmap(where)
    if (huge) await mm.madvise(start, PMD_SIZE, 'hugepage')
    if (backing !== 'anon-untouched') await fill(thread, start, 0x1000)
    return { kernel, mm, thread, file: null, base: start }
  }
  const file = kernel.createFile({ size: LENGTH, storage: kind === 'file' ? 'disk' : 'memory' })
  await writeFile(file, 0, fileBytes(0x1000))
  if (kind === 'file') await fsync(file)
  const { start } = await mm.mmap({ length: LENGTH, file, shared: backing.endsWith('shared') })
  return { kernel, mm, thread, file, base: start }
}

async function replay(row: Case): Promise<Record<string, unknown>> {
  const kernel = new Kernel({ frames: 2048, diskPages: 128 })
  return kernel.run(async () => {
    const setup: Setup = { ...(await map(kernel, row.backing)), child: null }
    const { mm, thread, base } = setup
    const vm = await Vm.create(mm)
    const vcpu = vm.createVcpu()
    const code = await mm.mmap({ length: PAGE_SIZE })
    await thread.store32(code.start, 1)
    await vm.setMemslot({ id: 0, gpa: GFN * PAGE_SIZE, length: LENGTH, hva: base })
    await vm.setMemslot({ id: 1, gpa: CODE * PAGE_SIZE, length: PAGE_SIZE, hva: code.start })
    await access(vcpu, CODE)
    for (let page = 0; page < PAGES; page++) {
      await access(vcpu, GFN + page, row.touch === 'R' ? undefined : 0x1000 + page)
    }
    const spte_before = vm.sptes.count
    const before = mm.pageTable.read(base + 8 * PAGE_SIZE) >>> 10
    let rc = 0
    try {
      await OPERATIONS[row.op]!(setup)
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'EINVAL') throw error
      rc = -22
    }
    const spte_after = vm.sptes.count
    const read = await access(vcpu, GFN + 8)
    const host_read = await hostRead(thread, base + 8 * PAGE_SIZE)
    const write = await access(vcpu, GFN + 16, 0xbeef)
    const host_after_write = await hostRead(thread, base + 16 * PAGE_SIZE)
    const pfn = mm.pageTable.read(base + 8 * PAGE_SIZE) >>> 10 === before ? 'same' : 'changed'
    await vm.destroy()
    await setup.child?.exit()
    thread.exit()
    await mm.exit()
    await setup.file?.put()
    kernel.assertBalanced()
    return { rc, spte_before, spte_after, read, host_read, write, host_after_write, pfn }
  })
}

/** The recording adds the text of errno to it. */
const shorten = (text: string): string => text.replace(/^(KVM_RUN=-1 errno=14).*$/, '$1(EFAULT)')

const known = CASES.filter((row) => row.op in OPERATIONS)

for (const op of new Set(known.map((row) => row.op))) {
  test(`as recorded from a real KVM: ${op}`, async (t) => {
    for (const row of known.filter((candidate) => candidate.op === op)) {
      const { rc, spte_before, spte_after, host_read, host_after_write } = row
      const expected: Record<string, unknown> = {
        rc,
        spte_before,
        spte_after,
        read: shorten(row.read),
        host_read,
        write: shorten(row.write),
        host_after_write,
      }
      const actual = await replay(row)
      if (row.pfn === 'same') expected['pfn'] = 'same'
      else delete actual['pfn']
      t.deepEqual(actual, expected, `${row.backing}, touched ${row.touch}`)
    }
  })
}

test('the operations without a counterpart here are known', (t) => {
  const missing = new Set(CASES.filter((row) => !(row.op in OPERATIONS)).map((row) => row.op))
  t.deepEqual([...missing].toSorted(), ['MADV_GUARD_INSTALL', 'mbind MOVE node0', 'mlock'])
})
