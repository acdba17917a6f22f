/** Many tasks at once under random schedules: nothing stored is lost, no client or TLB names what is gone, nothing leaks. */
import test from 'ava'
import { KernelBug, KernelError, PAGE_SIZE } from '../../src/base/index.ts'
import type { TraceEvent } from '../../src/base/index.ts'
import { Kernel, migratePage, punchHole } from '../../src/host/index.ts'
import type { HostThread, KernelOptions, Mm } from '../../src/host/index.ts'
import { GoldenMemory } from '../../src/check/index.ts'
import { mmuNotifierRegister, mmuNotifierUnregister } from '../../src/notifier/index.ts'
import { random } from '../../src/sched/index.ts'
import { Mirror } from './mirror.ts'

const SCALE = Number(process.env['UMBRA_RUNS'] ?? 1)
const FIRST = Number(process.env['UMBRA_SEED'] ?? 1)
const PMD_SIZE = 512 * PAGE_SIZE
const PAGES = 6
const ROUNDS = 12

type Storer = (hva: number, value: number) => Promise<void>
type Loader = (hva: number) => Promise<number>

class Race {
  readonly kernel: Kernel
  private readonly golden = new GoldenMemory()
  readonly mirrors: Mirror[] = []
  readonly threads: HostThread[] = []
  readonly seed: number
  private readonly huge: boolean
  private draw: number
  /** Addresses of the regions: contents there are kept, or may be dropped at any time. */
  kept = 0
  dropped = 0
  fileBacked = 0
  private readonly file
  private running = 0
  private moving = false
  outOfMemory = 0

  constructor(options: KernelOptions, seed: number, huge: boolean) {
    this.huge = huge
    this.seed = seed
    this.draw = seed * 2654435761
    this.kernel = new Kernel({ ...options, seed, policy: random(seed) })
    this.file = this.kernel.createFile({ size: PAGES * PAGE_SIZE })
    this.kernel.trace.attach((event) => this.watch(event), { accesses: true })
  }

  private below(n: number): number {
    this.draw = (Math.imul(this.draw, 1103515245) + 12345) & 0x7fffffff
    return (this.draw >>> 8) % n
  }

  /** Invariants that hold at every instant. */
  private watch(event: TraceEvent): void {
    const mismatch = this.golden.observe(event)
    if (mismatch !== null) {
      const { mm, hva, read, expected } = mismatch
      throw new KernelBug(`mm ${mm} loaded ${read} at ${hva.toString(16)}, golden memory has ${expected}`, 'I7')
    }
    if (event.name === 'sched_switch') {
      for (const mirror of this.mirrors) {
        const lines = mirror.disagreements()
        if (lines.length > 0) throw new KernelBug(lines.join('; '), 'I1')
      }
    }
    if (event.name === 'mm_page_free') {
      for (const mirror of this.mirrors) {
        for (const entry of mirror.entries.values()) {
          if (entry.pfn === event.pfn) throw new KernelBug(`frame ${event.pfn} freed while a client maps it`, 'I2')
        }
      }
      for (const thread of this.threads) {
        for (const tlb of [thread.loadTlb, thread.storeTlb]) {
          tlb.forEachValid((index) => {
            if (tlb.pfnAt(index) === event.pfn)
              throw new KernelBug(`frame ${event.pfn} freed while a TLB names it`, 'I2')
          })
        }
      }
    }
  }

  async run(): Promise<void> {
    const { kernel } = this
    await kernel.run(async () => {
      const mm = await kernel.createMm()
      this.kept = await this.mapPrivate(mm, 0x1000_0000)
      this.dropped = await this.mapPrivate(mm, 0x1800_0000)
      this.fileBacked = (await mm.mmap({ length: PAGES * PAGE_SIZE, shared: true, file: this.file })).start
      const mirror = new Mirror(mm)
      this.mirrors.push(mirror)
      const notifier = await mmuNotifierRegister(mirror, mm)
      const tasks = [this.writer('host0', mm, 0), this.writer('host1', mm, 8)]
      tasks.push(this.guest('guest0', mirror, 16), this.guest('guest1', mirror, 24))
      for (let i = 0; i < 3; i++) tasks.push(this.task(`storm${i}`, () => this.storm(mm)))
      for (const task of tasks) await kernel.sched.join(task)
      for (const thread of this.threads) thread.exit()
      await mm.exit()
      await mmuNotifierUnregister(notifier, mm)
      await this.file.put()
      await kernel.reclaimPages(kernel.allocator.managed)
      kernel.assertBalanced()
      if (kernel.allocator.free !== kernel.allocator.managed - 1) {
        throw new KernelBug(`${kernel.allocator.managed - 1 - kernel.allocator.free} frames left over`, 'I14')
      }
    })
  }

  /** Private memory; with huge pages, six pages around the border between two of them. */
  private async mapPrivate(mm: Mm, addr: number): Promise<number> {
    if (!this.huge) return (await mm.mmap({ addr, length: PAGES * PAGE_SIZE })).start
    await mm.mmap({ addr, fixed: true, length: 1024 * PAGE_SIZE })
    await mm.madvise(addr, 1024 * PAGE_SIZE, 'hugepage')
    return addr + 509 * PAGE_SIZE
  }

  private task(name: string, body: () => Promise<void>) {
    this.running++
    return this.kernel.spawn(name, async () => {
      await body()
      this.running--
    })
  }

  private writer(name: string, mm: Mm, offset: number) {
    const thread = mm.createThread(name)
    this.threads.push(thread)
    return this.task(name, () =>
      this.writeAndCheck(
        offset,
        (hva, value) => thread.store32(hva, value),
        (hva) => thread.load32(hva),
      ),
    )
  }

  private guest(name: string, mirror: Mirror, offset: number) {
    return this.task(name, () =>
      this.writeAndCheck(
        offset,
        (hva, value) => mirror.store(hva - (hva % PAGE_SIZE), value, hva % PAGE_SIZE),
        (hva) => mirror.load(hva - (hva % PAGE_SIZE), hva % PAGE_SIZE),
      ),
    )
  }

  /** Every task has a word of its own in each page: what it loads there is what it stored last. */
  private async writeAndCheck(offset: number, store: Storer, load: Loader): Promise<void> {
    const last = new Map<number, number>()
    for (let round = 1; round <= ROUNDS; round++) {
      const region = [this.kept, this.kept, this.dropped, this.fileBacked][this.below(4)] as number
      const hva = region + this.below(PAGES) * PAGE_SIZE + offset
      await this.retry(async () => {
        const seen = await load(hva)
        const expected = last.get(hva) ?? 0
        if (seen !== expected && (region === this.kept || seen !== 0)) {
          throw new KernelBug(
            `${this.kernel.sched.current.name} loaded ${seen} at ${hva.toString(16)}, stored ${expected}`,
            'I7',
          )
        }
        if (region !== this.kept) last.set(hva, seen)
      })
      await this.retry(async () => {
        await store(hva, round)
        last.set(hva, round)
      })
      await this.kernel.sched.yieldNow()
    }
  }

  /** The storm may hold a right back for a while, or memory may be short. */
  private async retry(body: () => Promise<void>): Promise<void> {
    for (let tries = 0; ; tries++) {
      if (tries > 3000) throw new KernelBug(`${this.kernel.sched.current.name} makes no progress`, 'I11')
      try {
        await body()
        return
      } catch (error) {
        if (!(error instanceof KernelError)) throw error
        if (error.code === 'ENOMEM') this.outOfMemory++
        if (error.code !== 'EFAULT' && error.code !== 'ENOMEM') throw error
        await this.kernel.sched.yieldNow()
      }
    }
  }

  private async storm(mm: Mm): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) {
      try {
        await this.disturb(mm)
      } catch (error) {
        if (!(error instanceof KernelError) || !['ENOMEM', 'EFAULT', 'EAGAIN', 'EINVAL'].includes(error.code))
          throw error
      }
    }
  }

  private async disturb(mm: Mm): Promise<void> {
    const { kernel } = this
    const at = this.below(PAGES)
    const length = (1 + this.below(PAGES - at)) * PAGE_SIZE
    const kept = this.kept + at * PAGE_SIZE
    const dropped = this.dropped + at * PAGE_SIZE
    switch (this.below(14)) {
      case 0:
      case 1:
        await kernel.reclaimPages(4)
        break
      case 2:
        await mm.madvise(kept, length, 'pageout')
        break
      case 3:
        await mm.madvise(dropped, length, 'dontneed')
        break
      case 4:
        await mm.madvise(dropped, length, 'free')
        break
      case 5:
        await mm.madvise(kept, length, 'mergeable')
        await kernel.ksm.scan()
        await kernel.ksm.scan()
        break
      case 6:
        await mm.madvise(kept, length, 'unmergeable')
        break
      case 7:
        await this.forkAndCompare(mm)
        break
      case 8:
        await mm.mprotect(kept, PAGE_SIZE, 'r')
        await kernel.sched.yieldNow()
        await this.retry(() => mm.mprotect(kept, PAGE_SIZE, 'rw'))
        break
      case 9: {
        const pte = mm.pageTable.read(kept)
        if ((pte & 1) !== 0) await migratePage(kernel, (pte >>> 10) as never)
        break
      }
      case 10:
        await punchHole(this.file, at * PAGE_SIZE, PAGE_SIZE)
        break
      case 11: {
        // One at a time, and away from where mmap chooses: the page must come back to its place.
        if (this.moving) break
        this.moving = true
        const away = 0x2000_0000 + this.below(600) * PAGE_SIZE
        try {
          await mm.mremap(kept, PAGE_SIZE, PAGE_SIZE, { to: away })
          await this.retry(() => mm.mremap(away, PAGE_SIZE, PAGE_SIZE, { to: kept }).then(() => {}))
        } finally {
          this.moving = false
        }
        break
      }
      case 12:
        if (this.huge) await mm.madvise(kept - (kept % PMD_SIZE), PMD_SIZE, 'collapse')
        break
      default:
        await mm.madvise(this.fileBacked, PAGES * PAGE_SIZE, 'pageout')
    }
  }

  /** A child sees each page of the parent as it was at one instant, and goes on seeing that. */
  private async forkAndCompare(mm: Mm): Promise<void> {
    const child = await mm.fork()
    const thread = child.createThread()
    this.threads.push(thread)
    try {
      const first = await this.read(thread)
      await this.kernel.sched.yieldNow()
      const second = await this.read(thread)
      if (first.join() !== second.join()) throw new KernelBug('a child saw a store of its parent', 'I7')
      await thread.store32(this.kept + 32, 7)
    } finally {
      thread.exit()
      this.threads.splice(this.threads.indexOf(thread), 1)
      await child.exit()
    }
  }

  private async read(thread: HostThread): Promise<number[]> {
    const values: number[] = []
    for (let at = 0; at < PAGES; at++) {
      for (const offset of [0, 8, 16, 24]) {
        const vma = thread.mm.vmas.lookup(this.kept + at * PAGE_SIZE)
        if (vma !== null) values.push(await thread.load32(this.kept + at * PAGE_SIZE + offset))
      }
    }
    return values
  }
}

const configurations: readonly (readonly [string, KernelOptions, number])[] = [
  ['plenty of memory', { frames: 256, swapPages: 64 }, 40],
  ['memory that must be reclaimed', { frames: 40, swapPages: 64 }, 60],
  ['a spinning page-table lock', { frames: 40, swapPages: 64, pageTableLock: 'spin' }, 25],
  ['no swap', { frames: 64 }, 25],
  ['huge pages', { frames: 4096, swapPages: 64 }, 5],
]

for (const [name, options, runs] of configurations) {
  test(`tasks that race lose nothing with ${name}`, async (t) => {
    for (let seed = FIRST; seed < FIRST + runs * SCALE; seed++) {
      try {
        await new Race(options, seed, name.includes('huge')).run()
      } catch (error) {
        const root = (error as Error).cause ?? error
        throw new Error(`seed ${seed}: ${String((root as Error).stack)}`, { cause: error })
      }
    }
    t.pass()
  })
}
