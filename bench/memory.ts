/** Bytes: what one mm, VM, vCPU, spte, notifier and SRCU domain take. */
import { PAGE_SIZE } from '../src/base/index.ts'
import { Kernel } from '../src/host/index.ts'
import { Vm } from '../src/mmu/index.ts'
import { createSrcu, mmuNotifierRegister } from '../src/notifier/index.ts'
import type { SrcuKind } from '../src/notifier/index.ts'
import { Scheduler } from '../src/sched/index.ts'
import { bytesEach } from './measure.ts'
import { bytes } from './report.ts'
import type { Report, Subject } from './report.ts'
import { VmFixture } from './vm.ts'

const KINDS: readonly SrcuKind[] = ['tiny', 'classic', 'counted']
const MANY = 2000
/** VMs and vCPUs are larger. */
const SOME = 400
const SLOT_PAGES = 4096
const SPTES = 65536

interface Size {
  readonly heap: number
  readonly buffers: number
  /** Frames of the simulated host. */
  readonly frames: number
}

export const memory: Subject = {
  name: 'memory',
  title: 'Memory',
  async measure(): Promise<Report> {
    const rows: string[][] = []
    const add = (name: string, { heap, buffers, frames }: Size): void => {
      rows.push([name, bytes(heap), bytes(buffers), frames === 0 ? '' : frames.toFixed(frames < 0.1 ? 4 : 1)])
    }
    // Not counted: what the first objects of a kind bring along.
    for (const kind of KINDS) await domain(kind, 2)
    for (const cpus of [2, 64]) {
      for (const kind of KINDS) add(`SRCU domain, ${kind}, ${cpus} CPUs`, await domain(kind, cpus))
    }
    add('mm, empty', await emptyMm())
    add('notifier, registered', await notifier())
    add('VM, empty', await emptyVm())
    add('vCPU', await vcpu())
    add('spte, dense', await spte(1))
    add('spte, one page in 16', await spte(16))
    return {
      tables: [
        { title: 'typed arrays, as the code allocates them', columns: ['', 'bytes'], rows: await arithmetic() },
        {
          title: 'each, measured over many',
          columns: ['', 'heap', 'array buffers', 'frames of the host'],
          rows,
          note:
            'Heap is what the JavaScript engine holds after collection, array buffers what lies outside its heap. Frames are ' +
            'table pages in the simulated memory. An spte is 8 bytes of such a frame; the rest is its reverse map.',
        },
      ],
    }
  },
}

/** What the structures say of themselves. */
async function arithmetic(): Promise<string[][]> {
  const rows = [2, 64].flatMap((cpus) => {
    const sched = new Scheduler({ cpus })
    return KINDS.map((kind) => {
      const counters = ownArrayBytes(createSrcu(kind, sched, { name: kind }))
      return [`SRCU domain, ${kind}, ${cpus} CPUs: counters`, bytes(counters)]
    })
  })
  const kernel = new Kernel({ frames: 8192 })
  await kernel.run(async () => {
    const fixture = await VmFixture.create(kernel, SLOT_PAGES, SLOT_PAGES)
    rows.push([`memslot of ${SLOT_PAGES} pages, nothing mapped`, bytes(fixture.vm.figures().slotBytes)])
    await fixture.populateGuest(1)
    rows.push([`the same, one page mapped`, bytes(fixture.vm.figures().slotBytes)])
    await fixture.populateGuest(SLOT_PAGES)
    const { slotBytes, sptes, rmapPoolBytes, tableFrames, tlbBytes } = fixture.vm.figures()
    rows.push([`the same, all ${sptes} pages mapped`, bytes(slotBytes)])
    rows.push([
      'an spte of it, with its share of tables and reverse maps',
      bytes((slotBytes + tableFrames * PAGE_SIZE) / sptes),
    ])
    rows.push(['reverse-map pool (frames with several sptes)', bytes(rmapPoolBytes)])
    rows.push(['TLBs of a vCPU', bytes(tlbBytes)])
    await fixture.destroy()
  })
  return rows
}

function ownArrayBytes(object: object): number {
  return Object.values(object).reduce(
    (sum: number, value: unknown) => sum + (ArrayBuffer.isView(value) ? value.byteLength : 0),
    0,
  )
}

function domain(kind: SrcuKind, cpus: number): Promise<Size> {
  const sched = new Scheduler({ cpus })
  return sched.run('bench', async () => {
    const size = await bytesEach(MANY, (index) => createSrcu(kind, sched, { name: `domain ${index}` }))
    return { ...size, frames: 0 }
  })
}

function inKernel(
  frames: number,
  body: (kernel: Kernel) => Promise<Omit<Size, 'frames'>>,
  each: number,
): Promise<Size> {
  const kernel = new Kernel({ frames })
  return kernel.run(async () => {
    const before = kernel.allocator.free
    const size = await body(kernel)
    return { ...size, frames: (before - kernel.allocator.free) / each }
  })
}

const emptyMm = (): Promise<Size> => inKernel(4096, (kernel) => bytesEach(MANY, () => kernel.createMm()), MANY)

function notifier(): Promise<Size> {
  return inKernel(
    64,
    async (kernel) => {
      const mm = await kernel.createMm()
      const ops = { name: 'client', invalidateRangeStart() {} }
      await mmuNotifierRegister(ops, mm)
      return bytesEach(MANY, () => mmuNotifierRegister(ops, mm))
    },
    MANY,
  ).then((size) => ({ ...size, frames: 0 }))
}

function emptyVm(): Promise<Size> {
  return inKernel(
    8192,
    async (kernel) => {
      const mm = await kernel.createMm()
      return bytesEach(SOME, () => Vm.create(mm))
    },
    SOME,
  )
}

function vcpu(): Promise<Size> {
  return inKernel(
    8192,
    async (kernel) => {
      const mm = await kernel.createMm()
      const vms: Vm[] = []
      for (let i = 0; i < SOME; i++) vms.push(await Vm.create(mm))
      return bytesEach(SOME, (index) => vms[index]!.createVcpu())
    },
    SOME,
  )
}

/** @param spread one page in so many is touched */
async function spte(spread: number): Promise<Size> {
  const kernel = new Kernel({ frames: SPTES + 8192 })
  return kernel.run(async () => {
    const pages = SPTES * spread
    const fixture = await VmFixture.create(kernel, pages, pages)
    for (let i = 0; i < SPTES; i++) await fixture.populateHost(1, i * spread)
    await fixture.store(0)
    const before = fixture.vm.figures()
    const { heap, buffers } = await bytesEach(SPTES - 1, (index) => fixture.store((index + 1) * spread))
    const after = fixture.vm.figures()
    fixture.vcpu.exitGuest()
    if (after.sptes !== SPTES) throw new Error(`${after.sptes} sptes of ${PAGE_SIZE} bytes, expected ${SPTES}`)
    return { heap, buffers, frames: (after.tableFrames - before.tableFrames) / SPTES }
  })
}
