/** The machine as its guest's SBI calls see it. */
import { PAGE_SIZE, gpa as toGpa } from '../../base/index.ts'
import { KVM_REQ_FENCE_I } from '../../mmu/index.ts'
import { Interrupt } from '../hart/index.ts'
import { CSR_ADDRESS } from '../isa/index.ts'
import { RESET_REASON, RESET_TYPE } from '../sbi/index.ts'
import type { FenceRange, HartEntry, HsmStateCode, SbiPlatform } from '../sbi/index.ts'
import type { Machine } from './machine.ts'
import type { VcpuRun } from './vcpu-run.ts'

export class MachinePlatform implements SbiPlatform {
  readonly harts: number
  private readonly machine: Machine

  constructor(machine: Machine, harts: number) {
    this.machine = machine
    this.harts = harts
  }

  setTimer(hart: number, time: bigint): void {
    this.runOf(hart).hart.writeCsr(CSR_ADDRESS.stimecmp, time)
  }

  sendIpi(harts: readonly number[]): void {
    for (const hart of harts) {
      const run = this.runOf(hart)
      run.hart.setInterrupt(Interrupt.SOFTWARE, true)
      run.wake()
    }
  }

  async remoteFenceI(harts: readonly number[]): Promise<void> {
    await this.machine.vm.makeRequestAndWait(maskOf(harts), KVM_REQ_FENCE_I)
  }

  async remoteSfenceVma(harts: readonly number[], range: FenceRange | null, asid: number): Promise<void> {
    let [page, count] = [-1, 1]
    if (range !== null) {
      page = Number(range.start >> 12n)
      count = Number((range.start + range.size - 1n) >> 12n) - page + 1
    }
    await this.machine.vm.remoteSfenceVma(maskOf(harts), page, count, asid)
  }

  hsmState(hart: number): HsmStateCode {
    return this.runOf(hart).state
  }

  canStartAt(address: bigint): boolean {
    return address % 2n === 0n && address < 2n ** 53n && this.isMemory(Number(address), 1)
  }

  startHart(hart: number, entry: HartEntry): void {
    this.runOf(hart).start(entry)
  }

  stopHart(hart: number): void {
    this.runOf(hart).stop()
  }

  suspendHart(hart: number): Promise<void> {
    return this.runOf(hart).suspend()
  }

  resumeHartAt(hart: number, entry: HartEntry): void {
    this.runOf(hart).hart.reset(entry.address, entry.opaque)
  }

  systemReset(type: number, reason: number): void {
    if (type !== RESET_TYPE.SHUTDOWN) this.machine.end('reset', 'the guest asked for a reboot')
    else if (reason === RESET_REASON.NONE) this.machine.end('shutdown', 'the guest shut down')
    else this.machine.end('failure', 'the guest shut down and reports a failure')
  }

  isMemory(gpa: number, length: number): boolean {
    const end = Math.ceil((gpa + length) / PAGE_SIZE)
    const { active } = this.machine.vm.memslots
    for (let frame = Math.floor(gpa / PAGE_SIZE); frame < end;) {
      const slot = active.lookup(frame)
      if (slot === null) return false
      frame = slot.endGfn
    }
    return true
  }

  readMemory(address: number, length: number): Promise<Uint8Array> {
    return this.machine.vm.readGuest(toGpa(address), length)
  }

  writeMemory(address: number, bytes: Uint8Array): Promise<void> {
    return this.machine.vm.writeGuest(toGpa(address), bytes)
  }

  consoleWrite(bytes: Uint8Array): void {
    this.machine.console.write(bytes)
  }

  consoleRead(limit: number): Uint8Array {
    return this.machine.console.read(limit)
  }

  consoleUnread(bytes: Uint8Array): void {
    this.machine.console.unread(bytes)
  }

  private runOf(hart: number): VcpuRun {
    return this.machine.runs[hart]!
  }
}

function maskOf(harts: readonly number[]): number {
  let mask = 0
  for (const hart of harts) mask |= 1 << hart
  return mask
}
