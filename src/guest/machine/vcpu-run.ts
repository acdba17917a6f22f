/**
 * The run loop of one vCPU: what the thread of a VMM and kvm_arch_vcpu_ioctl_run do (arch/riscv/kvm/vcpu.c, v6.12).
 *
 * ```
 *  enter guest mode (serves requests) -> engine.run(quantum) -> exit reason -> handled outside guest mode -> again
 *       ^------------- quantum over: other tasks run, this vCPU is still IN guest mode -------'
 * ```
 *
 * R1 Everything but the end of a quantum is handled outside guest mode, so nobody waits for a vCPU that sleeps here.
 * R2 An exit changes the hart only once it is handled completely: one that cannot be (EFAULT, ENOMEM) leaves the hart as
 *    it was, at the instruction, which runs again when the machine is resumed.
 * R3 A store by the host, or by the walker, between two quanta ends a load reservation of the same doubleword: it is seen
 *    by its value, so that a store of what was there before goes unnoticed, which is harmless.
 * R4 Interrupts are made pending in the hart by whoever has them; a hart that sleeps in wfi is woken for it.
 */
import { KernelError, hex, hpa } from '../../base/index.ts'
import type { Vcpu } from '../../mmu/index.ts'
import { WaitQueue } from '../../sched/index.ts'
import { Cell, Exit, Interrupt, accessFault } from '../hart/index.ts'
import type { Engine, ExitReason, Hart } from '../hart/index.ts'
import { A0, A1 } from '../isa/index.ts'
import { HsmState, SbiError, sbiCallName, sbiEcall } from '../sbi/index.ts'
import type { HartEntry, HsmStateCode, SbiCall } from '../sbi/index.ts'
import type { Machine } from './machine.ts'
import type { HartTimer } from './machine-time.ts'
import { AccessTrace } from './access-trace.ts'

const A6 = 16
const A7 = 17
const SIE_STIE: bigint = 1n << BigInt(Interrupt.TIMER)
/** Instructions tried in a row of which none retired, after which nothing can ever change. */
const TRAP_LOOP = 10_000

export class VcpuRun {
  /** Immutable. */
  readonly machine: Machine
  readonly vcpu: Vcpu
  readonly hart: Hart
  /** Changes between quanta only. */
  engine: Engine
  readonly timer: HartTimer
  /** HSM state. Changed in one step, by this task or by the hart that starts this one. */
  state: HsmStateCode = HsmState.STOPPED
  /** Retired instructions since the machine was made. */
  instructions = 0
  /** Sleeps, and only another hart can wake it. */
  waitsForOthers = false
  private entry: HartEntry | null = null
  private readonly wakeUp: WaitQueue
  private readonly accesses: AccessTrace
  /** Instructions left of the quantum, and tried without success since one last retired. */
  private left = 0
  private fruitless = 0
  /** The doubleword reserved at the end of the last quantum, -1 for none, and what was in it. */
  private reserved = -1
  private reservedValue = 0n

  constructor(machine: Machine, vcpu: Vcpu, engine: Engine, timer: HartTimer) {
    this.machine = machine
    this.vcpu = vcpu
    this.hart = engine.hart
    this.engine = engine
    this.timer = timer
    this.wakeUp = new WaitQueue(machine.sched, `interrupt for ${machine.name} hart ${vcpu.id}`)
    this.accesses = new AccessTrace(vcpu)
    vcpu.onFlush = () => this.hart.clearReservation()
    vcpu.onFenceI = () => this.engine.fenceI()
  }

  /** The hart will begin at `entry`. */
  start(entry: HartEntry): void {
    this.entry = entry
    this.state = HsmState.START_PENDING
    this.wakeUp.wakeAll()
  }

  /** An interrupt, or the end of the machine: a hart that sleeps looks again. */
  wake(): void {
    this.wakeUp.wakeAll()
  }

  /** Body of the vCPU's task: runs the hart as long as the machine runs. */
  async run(): Promise<void> {
    try {
      while (this.machine.running) {
        if (this.state === HsmState.STOPPED) await this.waitForStart()
        else if (this.entry !== null) this.begin(this.entry)
        else await this.runGuest()
      }
    } catch (error) {
      // A mistake of the user's set-up or a resource that ran out ends this machine; a KernelBug ends everything.
      if (!(error instanceof KernelError)) throw error
      this.machine.hostError(error)
    }
    this.vcpu.exitGuest()
  }

  private begin(entry: HartEntry): void {
    this.entry = null
    this.timer.deadline = Infinity
    this.hart.reset(entry.address, entry.opaque)
    this.state = HsmState.STARTED
  }

  private async waitForStart(): Promise<void> {
    this.machine.checkHalted()
    await this.wakeUp.wait(() => this.state !== HsmState.STOPPED || !this.machine.running)
  }

  /** Guest mode until something other than the end of a quantum happens, and that is handled. */
  private async runGuest(): Promise<void> {
    await this.vcpu.enterGuest()
    while (this.machine.running) {
      if (this.left <= 0) {
        this.machine.exits.quantum++
        this.left = this.machine.quantum
        await this.vcpu.quantumEnd()
        continue
      }
      const reason = this.quantum()
      if (this.fruitless >= TRAP_LOOP) return this.trapLoop()
      if (reason !== Exit.INTR) return this.handleExit(reason)
      if (this.machine.outOfBudget()) return
    }
  }

  /** Runs the engine up to the end of the quantum, the timer, or the budget. */
  private quantum(): ExitReason {
    const { hart, machine, timer } = this
    let budget = Math.max(1, Math.min(this.left, machine.budgetLeft))
    if (timer.due) hart.setInterrupt(Interrupt.TIMER, true)
    else budget = Math.min(budget, timer.instructionsLeft)
    hart.observer = machine.sched.trace.accesses ? this.accesses : undefined
    if (this.reserved !== -1) this.checkReservation()
    const before = hart.instret
    timer.beginQuantum(before)
    const reason = this.engine.run(budget)
    const retired = hart.instret - before
    if (hart.reservations.live > 0) this.rememberReservation()
    machine.sched.advance(retired * machine.time.nsPerInstruction)
    this.left -= reason === Exit.INTR ? budget : Math.max(1, retired)
    if (retired > 0) this.fruitless = 0
    else if (this.trapsInHandler()) this.fruitless += reason === Exit.INTR ? budget : 1
    this.instructions += retired
    machine.spend(retired)
    return reason
  }

  private rememberReservation(): void {
    this.reserved = this.hart.reservations.reservationSet(this.hart.id)
    if (this.reserved !== -1) this.reservedValue = this.vcpu.bytes.read64(hpa(this.reserved))
  }

  private checkReservation(): void {
    const { hart, vcpu, reserved, reservedValue } = this
    this.reserved = -1
    if (hart.reservations.reservationSet(hart.id) !== reserved) return
    if (vcpu.bytes.read64(hpa(reserved)) !== reservedValue) hart.clearReservation()
  }

  private async handleExit(reason: ExitReason): Promise<void> {
    const { exits } = this.machine
    switch (reason) {
      case Exit.INTR:
      case Exit.RISCV_CSR:
        return
      case Exit.MEMORY_FAULT:
        exits.memoryFault++
        return this.memoryFault()
      case Exit.RISCV_SBI:
        exits.sbi++
        return this.sbi()
      case Exit.HLT:
        exits.wfi++
        return this.block()
      case Exit.DEBUG:
        return this.machine.end('breakpoint', `hart ${this.hart.id} is at a breakpoint, pc ${hex(this.hart.pc)}`)
    }
  }

  // Memory.

  private async memoryFault(): Promise<void> {
    const { hart, machine, vcpu } = this
    const { pending } = hart
    const plain = !pending.atomic && !pending.crossing
    const store =
      pending.kind === 'write' && plain
        ? { offset: Number(pending.start & 0xfffn), size: pending.size, value: pending.value }
        : null
    const outcome = await vcpu.handleMiss(store)
    if (outcome === 'mmio') return this.mmio()
    if (outcome === 'stored') return hart.completeStore()
    if (outcome === 'retry') return
    const what = `${pending.kind} of gva ${hex(pending.gva)} (gpa ${hex(vcpu.missFrame * 4096)}) by hart ${hart.id}`
    if (outcome === 'efault') machine.end('efault', `nothing usable is mapped at hva ${hex(vcpu.faultHva)}: ${what}`)
    else machine.end('enomem', `the host has no memory left: ${what}`)
  }

  /** An access to no memory (or a store to a read-only slot): a device's, or an access fault. */
  private async mmio(): Promise<void> {
    const { hart, machine, vcpu } = this
    const { pending } = hart
    const gpa = vcpu.missFrame * 4096 + Number(pending.gva & 0xfffn)
    machine.exits.mmio++
    if (pending.kind === 'fetch') {
      return machine.end('fetch-fault', `hart ${hart.id} jumped to gpa ${hex(gpa)}, where no memory is`)
    }
    const device = pending.atomic || pending.crossing ? null : machine.bus.find(gpa, pending.size)
    if (device === null) return hart.trap(accessFault(pending.kind), pending.gva)
    const offset = gpa - device.base
    const write = pending.kind === 'write'
    if (write) {
      await device.store(offset, pending.size, pending.value)
      hart.completeStore()
    } else {
      hart.completeLoad(await device.load(offset, pending.size))
    }
    if (machine.sched.trace.on) {
      const event = { vm: vcpu.vm.id, vcpu: vcpu.id, type: write ? 'write' : 'read' } as const
      machine.sched.trace.emit({ name: 'kvm_mmio', ...event, len: pending.size, gpa, device: device.name })
    }
  }

  // SBI.

  private async sbi(): Promise<void> {
    const { hart, machine, vcpu } = this
    vcpu.exitGuest()
    const register = (n: number): bigint => hart.register(A0 + n)
    const args: SbiCall['args'] = [register(0), register(1), register(2), register(3), register(4), register(5)]
    const [extension, id] = [hart.register(A7), hart.register(A6)]
    const outcome = await sbiEcall(extension, id, { platform: machine.platform, hart: hart.id, args })
    if (machine.sched.trace.on) {
      machine.sched.trace.emit({
        name: 'kvm_riscv_sbi',
        vm: vcpu.vm.id,
        vcpu: vcpu.id,
        call: sbiCallName(extension, id),
        error: outcome?.error ?? SbiError.SUCCESS,
        value: outcome?.value ?? 0n,
      })
    }
    if (outcome === null) return
    hart.setRegister(A0, BigInt(outcome.error))
    hart.setRegister(A1, outcome.value)
    hart.completeEcall()
  }

  /** SBI hart_stop, called by this hart. */
  stop(): void {
    this.state = HsmState.STOPPED
  }

  /** SBI hart_suspend: as wfi, but other harts can see it. */
  async suspend(): Promise<void> {
    this.state = HsmState.SUSPENDED
    await this.block()
    this.state = HsmState.STARTED
  }

  // Waiting.

  /** Sleeps until an interrupt that sie enables is pending (kvm_vcpu_halt). */
  private async block(): Promise<void> {
    const { hart, machine, timer } = this
    this.vcpu.exitGuest()
    const from = machine.time.now
    for (;;) {
      if (timer.due) hart.setInterrupt(Interrupt.TIMER, true)
      if (hart.wakes() || !machine.running) break
      const timerCounts = (hart.state.cells[Cell.sie]! & SIE_STIE) !== 0n && timer.deadline !== Infinity
      this.waitsForOthers = !timerCounts
      machine.checkHalted()
      const options = timerCounts ? { timeout: timer.deadline - machine.time.now } : {}
      await this.wakeUp.wait(() => hart.wakes() || !machine.running, options)
    }
    this.waitsForOthers = false
    if (!machine.sched.trace.on) return
    const waited = machine.time.now - from
    machine.sched.trace.emit({ name: 'kvm_vcpu_wakeup', vm: this.vcpu.vm.id, vcpu: this.vcpu.id, waited })
  }

  /** The instruction at pc is where the last trap was taken: the handler itself cannot be fetched. */
  private trapsInHandler(): boolean {
    const { cells } = this.hart.state
    return cells[Cell.sepc] === cells[Cell.pc]
  }

  private trapLoop(): void {
    const { hart } = this
    const cause = hart.state.cells[Cell.scause]!
    this.machine.end(
      'trap-loop',
      `hart ${hart.id} traps for ever at pc ${hex(hart.pc)} (scause ${cause}): its trap handler cannot be executed`,
    )
  }
}
