/** VMAs split and merge as they must, and mmap, munmap and mprotect keep their promises about addresses. */
import test from 'ava'
import fc from 'fast-check'
import { KernelError, PAGE_SIZE, hva } from '../../src/base/index.ts'
import type { Errno, Hva } from '../../src/base/index.ts'
import { Kernel } from '../../src/host/index.ts'
import type { AddressSpace, Mm, Prot } from '../../src/host/index.ts'

const BASE = 0x1000_0000
const at = (page: number): Hva => hva(BASE + page * PAGE_SIZE)

async function inMm(body: (mm: Mm, file: AddressSpace) => Promise<void>): Promise<void> {
  const kernel = new Kernel({ frames: 128 })
  await kernel.run(async () => {
    const mm = await kernel.createMm('mm')
    const file = kernel.createFile({ name: 'file', size: 64 * PAGE_SIZE })
    await body(mm, file)
    await mm.exit()
    await file.put()
    kernel.assertBalanced()
  })
}

/** The VMAs as `first-last prot` in pages from the base. */
const layout = (mm: Mm): string[] =>
  mm.vmas.all().map((vma) => `${(vma.start - BASE) / PAGE_SIZE}-${(vma.end - BASE) / PAGE_SIZE} ${vma.protText}`)

const anonymous = (mm: Mm, page: number, count: number): Promise<unknown> =>
  mm.mmap({ addr: at(page), fixed: true, length: count * PAGE_SIZE })

interface Row {
  readonly promise: string
  readonly act: (mm: Mm, file: AddressSpace) => Promise<unknown>
  readonly layout: readonly string[]
}

const rows: readonly Row[] = [
  {
    promise: 'neighbours of one kind are one VMA',
    act: async (mm) => {
      await anonymous(mm, 0, 2)
      await anonymous(mm, 4, 2)
      await anonymous(mm, 2, 2)
    },
    layout: ['0-6 rw'],
  },
  {
    promise: 'a hole in the middle leaves two',
    act: async (mm) => {
      await anonymous(mm, 0, 6)
      await mm.munmap(at(2), 2 * PAGE_SIZE)
    },
    layout: ['0-2 rw', '4-6 rw'],
  },
  {
    promise: 'one munmap takes several, and parts of those at its edges',
    act: async (mm) => {
      await anonymous(mm, 0, 3)
      await mm.mmap({ addr: at(4), fixed: true, length: PAGE_SIZE, prot: 'r' })
      await anonymous(mm, 6, 3)
      await mm.munmap(at(2), 5 * PAGE_SIZE)
    },
    layout: ['0-2 rw', '7-9 rw'],
  },
  {
    promise: 'mprotect of a part splits, and merging comes back with the rights',
    act: async (mm) => {
      await anonymous(mm, 0, 6)
      await mm.mprotect(at(2), 2 * PAGE_SIZE, 'r')
      if (mm.vmas.size !== 3) throw new Error('not split')
      await mm.mprotect(at(2), 2 * PAGE_SIZE, 'rw')
    },
    layout: ['0-6 rw'],
  },
  {
    promise: 'VMAs that have pages of one family merge again',
    act: async (mm) => {
      await anonymous(mm, 0, 6)
      const thread = mm.createThread()
      await thread.store8(at(0), 1)
      await mm.mprotect(at(2), 2 * PAGE_SIZE, 'r')
      await mm.mprotect(at(2), 2 * PAGE_SIZE, 'rw')
      thread.exit()
    },
    layout: ['0-6 rw'],
  },
  {
    promise: 'VMAs whose pages are of two families stay two',
    act: async (mm) => {
      await anonymous(mm, 0, 2)
      await anonymous(mm, 4, 2)
      const thread = mm.createThread()
      await thread.store8(at(0), 1)
      await thread.store8(at(4), 1)
      await anonymous(mm, 2, 2)
      thread.exit()
    },
    layout: ['0-4 rw', '4-6 rw'],
  },
  {
    promise: 'file mappings merge only where the offsets continue',
    act: async (mm, file) => {
      const map = (page: number, offset: number): Promise<unknown> =>
        mm.mmap({ addr: at(page), fixed: true, length: PAGE_SIZE, file, shared: true, offset: offset * PAGE_SIZE })
      await map(0, 5)
      await map(1, 6)
      await map(2, 8)
    },
    layout: ['0-2 rw', '2-3 rw'],
  },
  {
    promise: 'private and shared mappings of one file stay apart',
    act: async (mm, file) => {
      await mm.mmap({ addr: at(0), fixed: true, length: PAGE_SIZE, file, shared: true })
      await mm.mmap({ addr: at(1), fixed: true, length: PAGE_SIZE, file, offset: PAGE_SIZE })
    },
    layout: ['0-1 rw', '1-2 rw'],
  },
  {
    promise: 'a move keeps the offset, so it does not merge with a stranger',
    act: async (mm) => {
      await anonymous(mm, 0, 2)
      await mm.createThread().store8(at(0), 1)
      await anonymous(mm, 10, 2)
      await mm.mremap(at(0), 2 * PAGE_SIZE, 2 * PAGE_SIZE, { to: at(12) })
    },
    layout: ['10-12 rw', '12-14 rw'],
  },
  {
    promise: 'growing in place extends the VMA, shrinking cuts it',
    act: async (mm) => {
      await anonymous(mm, 0, 2)
      await mm.mremap(at(0), 2 * PAGE_SIZE, 5 * PAGE_SIZE)
      await mm.mremap(at(0), 5 * PAGE_SIZE, 4 * PAGE_SIZE)
    },
    layout: ['0-4 rw'],
  },
]

for (const row of rows) {
  test(row.promise, async (t) => {
    await inMm(async (mm, file) => {
      await row.act(mm, file)
      t.deepEqual(layout(mm), row.layout)
    })
  })
}

test('an address is chosen highest first, a wish is honoured if it is free, and a replaced mapping is gone', async (t) => {
  await inMm(async (mm) => {
    const first = await mm.mmap({ length: PAGE_SIZE })
    const second = await mm.mmap({ length: 2 * PAGE_SIZE })
    t.is(second.start, hva(first.start - 2 * PAGE_SIZE))
    t.is((await mm.mmap({ length: PAGE_SIZE, addr: at(0) })).start, at(0))
    t.is((await mm.mmap({ length: PAGE_SIZE, addr: at(0) })).start, hva(second.start - PAGE_SIZE))
    const thread = mm.createThread()
    await thread.store8(at(0), 7)
    await mm.mmap({ length: PAGE_SIZE, addr: at(0), fixed: true })
    t.is(await thread.load8(at(0)), 0)
    thread.exit()
  })
})

const failures: readonly (readonly [string, Errno, (mm: Mm, file: AddressSpace) => Promise<unknown>])[] = [
  ['mmap of nothing', 'EINVAL', (mm) => mm.mmap({ length: 0 })],
  ['mmap of half a byte', 'EINVAL', (mm) => mm.mmap({ length: 0.5 })],
  ['mmap with an unknown protection', 'EINVAL', (mm) => mm.mmap({ length: 1, prot: 'q' as never })],
  ['mmap at an odd place', 'EINVAL', (mm) => mm.mmap({ length: 1, addr: 5, fixed: true })],
  ['mmap fixed nowhere', 'EINVAL', (mm) => mm.mmap({ length: 1, fixed: true })],
  ['mmap at an odd file offset', 'EINVAL', (mm, file) => mm.mmap({ length: 1, file, offset: 1 })],
  ['mmap beyond the address space', 'EINVAL', (mm) => mm.mmap({ length: 8192, addr: 2 ** 38 - 4096, fixed: true })],
  ['mmap of the null page', 'EPERM', (mm) => mm.mmap({ length: 1, addr: 0, fixed: true })],
  ['mmap of more than there is', 'ENOMEM', (mm) => mm.mmap({ length: 2 ** 39 })],
  [
    'mmap over a mapping, when told not to',
    'EEXIST',
    async (mm) => {
      await anonymous(mm, 0, 1)
      await mm.mmap({ length: 1, addr: at(0), noReplace: true })
    },
  ],
  ['munmap at an odd place', 'EINVAL', (mm) => mm.munmap(at(0) + 1, PAGE_SIZE)],
  ['munmap of nothing', 'EINVAL', (mm) => mm.munmap(at(0), 0)],
  ['munmap beyond the address space', 'EINVAL', (mm) => mm.munmap(2 ** 38, PAGE_SIZE)],
  ['mprotect of a hole', 'ENOMEM', (mm) => mm.mprotect(at(0), PAGE_SIZE, 'r')],
  ['mprotect at an odd place', 'EINVAL', (mm) => mm.mprotect(at(0) + 8, PAGE_SIZE, 'r')],
  ['madvise of a hole', 'ENOMEM', (mm) => mm.madvise(at(0), PAGE_SIZE, 'dontneed')],
  ['unknown advice', 'EINVAL', (mm) => mm.madvise(at(0), PAGE_SIZE, 'please' as never)],
  [
    'madvise free of a file',
    'EINVAL',
    async (mm, file) => {
      const { start } = await mm.mmap({ length: PAGE_SIZE, file, shared: true })
      await mm.madvise(start, PAGE_SIZE, 'free')
    },
  ],
  [
    'madvise remove of private memory',
    'EINVAL',
    async (mm) => {
      await anonymous(mm, 0, 1)
      await mm.madvise(at(0), PAGE_SIZE, 'remove')
    },
  ],
  ['madvise mergeable of a hole', 'ENOMEM', (mm) => mm.madvise(at(0), PAGE_SIZE, 'mergeable')],
  [
    'populateWrite of what may only be read',
    'EFAULT',
    async (mm) => {
      const { start } = await mm.mmap({ length: PAGE_SIZE, prot: 'r' })
      await mm.madvise(start, PAGE_SIZE, 'populateWrite')
    },
  ],
  ['mremap of a hole', 'EFAULT', (mm) => mm.mremap(at(0), PAGE_SIZE, PAGE_SIZE, { to: at(9) })],
  [
    'mremap onto itself',
    'EINVAL',
    async (mm) => {
      await anonymous(mm, 0, 4)
      await mm.mremap(at(0), 4 * PAGE_SIZE, 4 * PAGE_SIZE, { to: at(2) })
    },
  ],
  [
    'mremap that may not move and cannot grow',
    'ENOMEM',
    async (mm) => {
      await anonymous(mm, 0, 1)
      await mm.mmap({ addr: at(1), fixed: true, length: PAGE_SIZE, prot: 'r' })
      await mm.mremap(at(0), PAGE_SIZE, 2 * PAGE_SIZE, { mayMove: false })
    },
  ],
  ['a load where nothing is mapped', 'EFAULT', (mm) => mm.createThread().load8(at(0))],
  [
    'a load of what may not be read',
    'EFAULT',
    async (mm) => {
      const { start } = await mm.mmap({ length: PAGE_SIZE, prot: '-' })
      await mm.createThread().load8(start)
    },
  ],
  [
    'a store to what may only be read',
    'EFAULT',
    async (mm) => {
      const { start } = await mm.mmap({ length: PAGE_SIZE, prot: 'r' })
      await mm.createThread().store8(start, 1)
    },
  ],
  [
    'a load beyond the end of a file',
    'EFAULT',
    async (mm, file) => {
      const { start } = await mm.mmap({ length: 65 * PAGE_SIZE, file })
      await mm.createThread().load8(start + 64 * PAGE_SIZE)
    },
  ],
  ['a misaligned access', 'EINVAL', (mm) => mm.createThread().load32(at(0) + 2)],
]

for (const [what, code, act] of failures) {
  test(`${what} is ${code}`, async (t) => {
    await inMm(async (mm, file) => {
      const error = await t.throwsAsync(() => act(mm, file), { instanceOf: KernelError })
      t.is(error.code, code)
      t.false(error.message.includes('\n'))
      for (const thread of mm.threads.slice()) thread.exit()
    })
  })
}

test('rights: `w` includes reading, nothing is allowed where nothing was given, and mprotect takes effect at once', async (t) => {
  await inMm(async (mm) => {
    const thread = mm.createThread()
    const { start } = await mm.mmap({ length: PAGE_SIZE, prot: 'w' })
    await thread.store8(start, 5)
    t.is(await thread.load8(start), 5)
    await mm.mprotect(start, PAGE_SIZE, '-')
    await t.throwsAsync(() => thread.load8(start), { code: 'EFAULT' })
    await mm.mprotect(start, PAGE_SIZE, 'r')
    t.is(await thread.load8(start), 5)
    await t.throwsAsync(() => thread.store8(start, 6), { code: 'EFAULT' })
    thread.exit()
  })
})

const sorted = (map: Map<number, string>): string => JSON.stringify([...map].toSorted((a, b) => a[0] - b[0]))

const change = fc.record({
  kind: fc.constantFrom('map', 'unmap', 'protect'),
  page: fc.nat(30),
  count: fc.integer({ min: 1, max: 6 }),
  prot: fc.constantFrom<Prot>('r', 'rw', '-'),
})

test('any sequence of changes leaves the VMAs that a map of pages would', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 40, size: 'max' }), async (changes) => {
      const expected = new Map<number, string>()
      await inMm(async (mm) => {
        for (const { kind, page, count, prot } of changes) {
          const length = count * PAGE_SIZE
          if (kind === 'map') {
            await mm.mmap({ addr: at(page), fixed: true, length, prot })
            for (let i = 0; i < count; i++) expected.set(page + i, prot)
          } else if (kind === 'unmap') {
            await mm.munmap(at(page), length)
            for (let i = 0; i < count; i++) expected.delete(page + i)
          } else {
            await mm.mprotect(at(page), length, prot).catch(() => {})
            for (let i = 0; i < count && expected.has(page + i); i++) expected.set(page + i, prot)
          }
        }
        // Untouched private memory merges wherever neighbours have the same rights: the fewest VMAs possible.
        const found = new Map<number, string>()
        let previous = ''
        for (const vma of mm.vmas.all()) {
          const first = (vma.start - BASE) / PAGE_SIZE
          const row = `${first} ${vma.protText}`
          if (row === previous) throw new Error(`not merged: ${layout(mm).join(', ')}`)
          previous = `${(vma.end - BASE) / PAGE_SIZE} ${vma.protText}`
          for (let i = first; i < (vma.end - BASE) / PAGE_SIZE; i++) found.set(i, vma.protText)
        }
        if (sorted(found) !== sorted(expected)) throw new Error(`${sorted(found)} instead of ${sorted(expected)}`)
      })
    }),
    { numRuns: 60 },
  )
  t.pass()
})

test('an empty range costs next to nothing: no table is made or visited page by page', async (t) => {
  await inMm(async (mm) => {
    const length = 65536 * PAGE_SIZE
    const { start } = await mm.mmap({ length })
    let reads = 0
    const { pageTable } = mm
    const slot = pageTable.slot.bind(pageTable)
    pageTable.slot = (hva: number) => {
      reads++
      return slot(hva)
    }
    await mm.mprotect(start, length, 'r')
    await mm.madvise(start, length, 'dontneed')
    await mm.munmap(start, length)
    t.is(reads, 0)
    t.is(pageTable.tables, 0)
  })
})
