/**
 * address_space: a file in memory, its page cache and the VMAs that map it (Linux: include/linux/fs.h, mm/shmem.c).
 *
 * A `memory` file is a memfd: its only home is the page cache, and under pressure a page goes to swap, which leaves the
 * slot in its place. A `disk` file has a block of its own for every page: clean pages are dropped, dirty ones written.
 *
 * R1 A place in `pages` is taken and left in one step, by whoever holds the lock of the page in it, if there is one.
 * R2 The page cache holds one reference to each of its pages.
 * R3 `size` shrinks before pages go: whoever locks a page checks that it is still here and still inside.
 */
import { KernelBug, PAGE_SIZE } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'
import { Mutex, RwSemaphore } from '../sched/index.ts'
import type { Kernel } from './kernel.ts'
import { iMmapLock, inodeLock } from './locks.ts'
import { truncateInodePages } from './truncate.ts'
import type { Vma } from './vma.ts'

export type FileStorage = 'memory' | 'disk'

export class AddressSpace {
  readonly kernel: Kernel
  /** Immutable. */
  readonly id: number
  readonly name: string
  readonly storage: FileStorage
  /** Bytes. Changed under the inode lock; read under a page lock, or as a hint. */
  size: number
  /** Page index -> frame, or a swap slot as -slot. Changed as R1 says. */
  readonly pages: Map<number, number> = new Map()
  /** Page index -> block of the disk, for a `disk` file; absent blocks are zero. */
  readonly blocks: Map<number, number> = new Map()
  /** Serialises truncation, hole punching and writing. */
  readonly inodeLock: Mutex
  /** Protects `iMmap` and the bounds of the VMAs in it. */
  readonly iMmapLock: RwSemaphore
  readonly iMmap: Set<Vma> = new Set()
  /** Open handles and VMAs; the content goes with the last. */
  private users = 1

  constructor(kernel: Kernel, id: number, name: string, size: number, storage: FileStorage) {
    this.kernel = kernel
    this.id = id
    this.name = name
    this.size = size
    this.storage = storage
    this.inodeLock = new Mutex(kernel.sched, inodeLock, `i_rwsem ${name}`)
    this.iMmapLock = new RwSemaphore(kernel.sched, iMmapLock, `i_mmap_rwsem ${name}`)
  }

  /** Number of pages that hold content. */
  get sizeInPages(): number {
    return Math.ceil(this.size / PAGE_SIZE)
  }

  /** The frame in the page cache, or -1 (also when the page is in swap). */
  lookup(index: number): Pfn | -1 {
    const place = this.pages.get(index)
    return place === undefined || place < 0 ? -1 : (place as Pfn)
  }

  /** One more user. */
  get(): void {
    if (this.users === 0) throw new KernelBug(`file ${this.name} is gone`, 'I14')
    this.users++
  }

  /** One user less; the last takes the content with it. May sleep. */
  async put(): Promise<void> {
    if (this.users === 0) throw new KernelBug(`file ${this.name} put more often than got`, 'I14')
    this.users--
    if (this.users > 0) return
    this.size = 0
    await truncateInodePages(this, 0, Infinity)
    this.kernel.files.delete(this)
  }
}
