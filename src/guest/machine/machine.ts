/**
 * A machine: a VM with its memory, harts, devices and guest program, run by one task a vCPU. What a small VMM is to KVM.
 *
 * R1 A machine ends alone: whatever its guest does, the kernel and the other machines go on.
 * R2 Each start or resume spawns one task a hart; each task ends when the machine stops running, with the hart's state
 *    exact, so that a machine that stopped for a reason that can be repaired goes on where it was.
 * R3 RAM starts at guest-physical 0x80000000; the device tree lies in its last pages, a ramdisk below.
 */
import { GiB, KernelError, MiB, PAGE_SIZE, gpa, hex, pageAlignDown } from '../../base/index.ts'
import type { Kernel, Mapping, Mm } from '../../host/index.ts'
import { Vm } from '../../mmu/index.ts'
import type { VmOptions } from '../../mmu/index.ts'
import type { Scheduler, Task } from '../../sched/index.ts'
import { parseProgram, umbraDeviceTree, writeDeviceTree } from '../boot/index.ts'
import type { GuestProgram, MemoryRange } from '../boot/index.ts'
import { Hart, ReservationTable } from '../hart/index.ts'
import type { Engine } from '../hart/index.ts'
import { HsmState } from '../sbi/index.ts'
import { MachineConsole } from './console.ts'
import type { ConsoleSink } from './console.ts'
import { MmioBus } from './device.ts'
import type { MmioDevice } from './device.ts'
import { Engines } from './engines.ts'
import type { EngineName } from './engines.ts'
import { MachinePlatform } from './machine-platform.ts'
import { HartTimer, MachineTime } from './machine-time.ts'
import { KVM_EXIT_OF, isResumable } from './result.ts'
import type { ExitCounts, MachineCause, MachineResult } from './result.ts'
import { VcpuRun } from './vcpu-run.ts'

/** Where guest RAM starts. */
export const RAM_BASE = 0x8000_0000

export interface MachineOptions {
  /** For reports. */
  readonly name: string
  /** The guest: an ELF file linked into RAM, or a RISC-V Linux Image. */
  readonly program: Uint8Array
  /** Bytes of RAM, a multiple of the page size. Default 16 MiB. */
  readonly memory?: number
  /** Whether the host may back RAM with 2 MiB pages, as a VMM asks for with MADV_HUGEPAGE. Default false. */
  readonly hugePages?: boolean
  /** Default 1, at most 32. */
  readonly harts?: number
  /** How the VM's memory is paged; all options of `Vm`. Default two-dimensional. */
  readonly vm?: VmOptions
  /** Kernel command line. */
  readonly bootargs?: string
  /** Initial ramdisk. */
  readonly initrd?: Uint8Array
  readonly devices?: readonly MmioDevice[]
  /** Instructions that a hart runs before other tasks do. Default 20000. */
  readonly quantum?: number
  /** Virtual nanoseconds an instruction takes. Default 1. */
  readonly nsPerInstruction?: number
  /** Ticks a second of `time`. Default 10 MHz. */
  readonly timebase?: number
  /** Instructions of all harts together after which the machine is stopped. Default 1e9. */
  readonly budget?: number
  /** Sees console output as it is written. */
  readonly onConsole?: ConsoleSink
  /** The class of its VM: a variant of a part of it is a subclass. Default `Vm`. */
  readonly vmClass?: typeof Vm
  /** What executes the harts, by name or as a maker. Default: the fastest that there is room for. */
  readonly engine?: EngineName | ((hart: Hart) => Engine)
  /** Jumps to a place after which the translator translates it. Default 6000. */
  readonly threshold?: number
  /** Bytes of translated modules that are kept at most; the first machine's counts for all over one memory. */
  readonly codeBytes?: number
  /** The VMM's process, with RAM already mapped in it; by default the machine makes, owns and destroys one. */
  readonly process?: { readonly mm: Mm; readonly ram: Mapping }
}

type MachineState = 'stopped' | 'running' | 'destroyed'

export class Machine {
  /** Immutable. */
  readonly name: string
  readonly sched: Scheduler
  readonly mm: Mm
  /** RAM in the mm. */
  readonly ram: Mapping
  readonly vm: Vm
  readonly program: GuestProgram
  readonly console: MachineConsole
  readonly bus: MmioBus
  readonly time: MachineTime
  readonly platform: MachinePlatform
  readonly quantum: number
  /** One a hart. */
  readonly runs: readonly VcpuRun[]
  readonly exits: ExitCounts = { quantum: 0, memoryFault: 0, sbi: 0, wfi: 0, mmio: 0 }
  /** Instructions that may still be run. */
  budgetLeft: number
  private readonly engines: Engines
  private readonly ownsMm: boolean
  private state: MachineState = 'stopped'
  private cause: MachineCause | null = null
  private message = ''
  private tasks: readonly Task[] = []

  private constructor(vm: Vm, mm: Mm, ram: Mapping, program: GuestProgram, engines: Engines, options: MachineOptions) {
    this.name = options.name
    this.sched = vm.sched
    this.mm = mm
    this.ram = ram
    this.vm = vm
    this.program = program
    this.ownsMm = options.process === undefined
    this.console = new MachineConsole(options.onConsole)
    this.bus = new MmioBus(options.devices ?? [], { start: RAM_BASE, length: ram.length })
    this.time = new MachineTime(vm.sched, options.timebase ?? 10_000_000, options.nsPerInstruction ?? 1)
    this.quantum = options.quantum ?? 20_000
    this.budgetLeft = options.budget ?? 1e9
    const harts = options.harts ?? 1
    this.platform = new MachinePlatform(this, harts)
    const reservations = new ReservationTable(harts)
    this.engines = engines
    const engine = options.engine ?? this.engines.fastest
    const runs: VcpuRun[] = []
    for (let id = 0; id < harts; id++) {
      const vcpu = vm.createVcpu({ tlb: this.engines.tlbOf(id, ram.length) })
      const timer = new HartTimer(this.time)
      const state = this.engines.stateOf(id)
      const hart = new Hart({ id, memory: vcpu, reservations, clock: timer, ...(state && { state }) })
      const made = typeof engine === 'string' ? this.engines.create(engine, hart, vcpu) : engine(hart)
      runs.push(new VcpuRun(this, vcpu, made, timer))
    }
    this.runs = runs
  }

  /**
   * Makes a machine and loads its guest. Call it inside a task; sleeps.
   * @throws KernelError ENOEXEC for a bad program, EINVAL for a bad option, EEXIST for overlapping devices, ENOMEM
   */
  static async create(kernel: Kernel, options: MachineOptions): Promise<Machine> {
    const length = options.process?.ram.length ?? options.memory ?? 16 * MiB
    checkOptions(options, length)
    const memory = { start: RAM_BASE, length }
    const program = parseProgram(options.program, memory)
    const boot = bootFiles(options, memory, program)
    const mm = options.process?.mm ?? (await kernel.createMm(options.name))
    let vm: Vm | null = null
    let engines: Engines | null = null
    try {
      const ram = options.process?.ram ?? (await mm.mmap({ length, prot: 'rw' }))
      if (options.hugePages === true) await mm.madvise(ram.start, length, 'hugepage')
      vm = await (options.vmClass ?? Vm).create(mm, options.vm)
      await vm.setMemslot({ id: 0, gpa: RAM_BASE, length, hva: ram.start })
      engines = new Engines(vm.memory, options.harts ?? 1, options)
      const machine = new Machine(vm, mm, ram, program, engines, options)
      for (const { gpa: address, bytes } of program.segments) await vm.writeGuest(gpa(address), bytes)
      for (const { at, bytes } of boot.files) await vm.writeGuest(gpa(at), bytes)
      machine.runs[0]!.start({ address: BigInt(program.entry), opaque: BigInt(boot.deviceTree) })
      return machine
    } catch (error) {
      await vm?.destroy()
      engines?.release()
      if (options.process === undefined) await mm.exit()
      throw error
    }
  }

  /** True while its harts run. */
  get running(): boolean {
    return this.state === 'running'
  }

  /** Starts the harts, each in a task of its own. @throws KernelError EBUSY when it runs, EINVAL when it has ended */
  start(): void {
    if (this.running) throw new KernelError('EBUSY', `machine ${this.name} is running`)
    if (this.state === 'destroyed' || (this.cause !== null && !isResumable(this.cause))) {
      throw new KernelError('EINVAL', `machine ${this.name} has ended: ${this.message}`)
    }
    this.state = 'running'
    this.cause = null
    const { trace } = this.sched
    if (trace.on) trace.emit({ name: 'machine_start', vm: this.vm.id, machine: this.name, harts: this.runs.length })
    this.tasks = this.runs.map((run) => this.sched.spawn(`${this.name}/vcpu${run.vcpu.id}`, () => run.run()))
  }

  /**
   * Goes on after a cause that has been repaired (efault, enomem), a breakpoint, or a spent budget.
   * @param budget more instructions
   * @throws as `start`
   */
  resume(budget = 0): void {
    this.budgetLeft += budget
    this.start()
  }

  /** Sleeps until the machine does not run any more. */
  async wait(): Promise<MachineResult> {
    for (const task of this.tasks) await this.sched.join(task)
    return this.result()
  }

  /** Starts it, and sleeps until it does not run any more. */
  async run(): Promise<MachineResult> {
    this.start()
    return this.wait()
  }

  /**
   * Goes on with another engine. Call it between quanta: from any task but a vCPU's.
   * @throws KernelError ENOMEM when there is no room for its tables
   */
  setEngine(name: EngineName): void {
    for (const run of this.runs) run.engine = this.engines.create(name, run.hart, run.vcpu)
  }

  /** The host stops the machine for good. */
  stop(): void {
    this.end('stopped', 'stopped by the host')
  }

  /** Stops the machine and gives everything back that it owns. Sleeps. */
  async destroy(): Promise<void> {
    if (this.state === 'destroyed') return
    this.stop()
    for (const task of this.tasks) await this.sched.join(task)
    this.state = 'destroyed'
    // The TLBs of its vCPUs may stand in what the engines give back.
    await this.vm.destroy()
    this.engines.release()
    if (this.ownsMm) await this.mm.exit()
  }

  /** How it stands. @throws KernelError EBUSY while it runs */
  result(): MachineResult {
    if (this.cause === null) throw new KernelError('EBUSY', `machine ${this.name} has no result yet`)
    return {
      name: this.name,
      cause: this.cause,
      exitReason: KVM_EXIT_OF[this.cause],
      exitCode: this.cause === 'shutdown' ? 0 : 1,
      message: this.message,
      console: this.console.text,
      instructions: this.runs.map((run) => run.instructions),
      nanoseconds: this.time.now,
      exits: { ...this.exits },
    }
  }

  // For its run loops and its platform.

  /** All harts stop at their next boundary. The first cause counts. */
  end(cause: MachineCause, message: string): void {
    if (!this.running) return
    this.state = 'stopped'
    this.cause = cause
    this.message = `${this.name}: ${message}`
    const { trace } = this.sched
    if (trace.on) {
      const reason = KVM_EXIT_OF[cause]
      trace.emit({ name: 'kvm_userspace_exit', vm: this.vm.id, machine: this.name, reason, message })
    }
    for (const run of this.runs) {
      this.vm.requests.kick(run.vcpu.id)
      run.wake()
    }
  }

  /** The host could not do something for a hart. */
  hostError(error: KernelError): void {
    const cause = error.code === 'EFAULT' ? 'efault' : error.code === 'ENOMEM' ? 'enomem' : 'host-error'
    this.end(cause, error.message)
  }

  spend(instructions: number): void {
    this.budgetLeft -= instructions
  }

  /** Ends the machine when its budget is spent. */
  outOfBudget(): boolean {
    if (this.budgetLeft > 0) return false
    this.end('budget', 'its budget of instructions is spent')
    return true
  }

  /** Ends the machine when every hart is stopped, or sleeps until another one wakes it. */
  checkHalted(): void {
    for (const run of this.runs) if (run.state !== HsmState.STOPPED && !run.waitsForOthers) return
    this.end('halted', 'every hart waits for an interrupt that cannot come')
  }
}

function checkOptions(options: MachineOptions, memory: number): void {
  const check = (name: string, value: number | undefined, low: number, high: number): void => {
    if (value === undefined || (Number.isInteger(value) && value >= low && value <= high)) return
    throw new KernelError('EINVAL', `machine ${options.name}: ${name} is ${value}; expected ${low} to ${high}`)
  }
  check('memory', memory, PAGE_SIZE, 64 * GiB)
  if (memory % PAGE_SIZE !== 0) {
    throw new KernelError(
      'EINVAL',
      `machine ${options.name}: memory of ${memory} bytes is not a multiple of ${PAGE_SIZE}`,
    )
  }
  check('harts', options.harts, 1, 32)
  check('quantum', options.quantum, 1, 1e9)
  check('timebase', options.timebase, 1, 0xffff_ffff)
  check('nsPerInstruction', options.nsPerInstruction, 1, 1e6)
  check('budget', options.budget, 1, Number.MAX_SAFE_INTEGER)
}

interface BootFiles {
  /** Address of the device tree. */
  readonly deviceTree: number
  readonly files: readonly { readonly at: number; readonly bytes: Uint8Array }[]
}

/** Device tree and ramdisk, at the end of memory. */
function bootFiles(options: MachineOptions, memory: MemoryRange, program: GuestProgram): BootFiles {
  const { initrd } = options
  const tree = (initrdAt: number): Uint8Array =>
    writeDeviceTree(
      umbraDeviceTree({
        harts: options.harts ?? 1,
        memory,
        timebase: options.timebase ?? 10_000_000,
        bootargs: options.bootargs ?? '',
        isa: 'rv64imafdc_zicsr_zifencei_zba_zbb_zbs_sstc',
        ...(initrd === undefined ? {} : { initrd: { start: initrdAt, length: initrd.length } }),
      }),
    )
  const end = memory.start + memory.length
  // The tree's size does not depend on where the ramdisk lies.
  const deviceTree = pageAlignDown(end - tree(memory.start).length)
  const initrdAt = initrd === undefined ? deviceTree : pageAlignDown(deviceTree - initrd.length)
  const programEnd = Math.max(...program.segments.map((segment) => segment.gpa + segment.memorySize))
  if (initrdAt < programEnd) {
    throw new KernelError(
      'EINVAL',
      `machine ${options.name}: the program ends at ${hex(programEnd)}, which leaves no room for its device tree: give it more memory`,
    )
  }
  const files = [{ at: deviceTree, bytes: tree(initrdAt) }]
  if (initrd !== undefined) files.push({ at: initrdAt, bytes: initrd })
  return { deviceTree, files }
}
