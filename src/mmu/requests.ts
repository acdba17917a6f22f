/**
 * vCPU modes, requests and kicks (include/linux/kvm_host.h, virt/kvm/kvm_main.c kvm_make_vcpus_request_mask, 6.12).
 *
 * A vCPU between two quanta is IN guest mode: its translations are live. Whoever needs it to stop using them posts a
 * request, kicks it and waits until it has left guest mode; it serves the request before it enters again. A vCPU that
 * is outside serves its requests at entry and need not be waited for.
 *
 * ```
 *  sender                              vCPU
 *  set request bit                     mode = IN_GUEST
 *  mode IN_GUEST -> EXITING, kick      any request? mode = OUTSIDE, serve, again
 *  wait for the acknowledgement        run ... kicked: mode = OUTSIDE (acknowledges)
 * ```
 *
 * R1 The request bit is set before the mode is looked at; the mode is set before the requests are looked at.
 * R2 An acknowledgement is "has left guest mode", never "has done it": what was asked for happens before re-entry.
 * R3 Words are in typed arrays, one element a vCPU, so that an engine may poll its kick word.
 */
import { KernelBug } from '../base/index.ts'
import { WaitQueue } from '../sched/index.ts'
import type { Scheduler, Task } from '../sched/index.ts'
import type { Trace } from '../base/index.ts'

export const MAX_VCPUS = 32

/** enum vcpu mode. */
export const OUTSIDE_GUEST_MODE = 0
export const IN_GUEST_MODE = 1
export const EXITING_GUEST_MODE = 2

/** Drop every translation of this VM from the vCPU's TLBs. */
export const KVM_REQ_TLB_FLUSH = 1
/** The root the vCPU uses has been invalidated: load another. */
export const KVM_REQ_FREE_OBSOLETE_ROOTS = 2
/** Drop the guest-virtual translations named by the vCPU's fence list (a remote sfence.vma). */
export const KVM_REQ_HFENCE = 4
/** Drop decoded instructions (a remote fence.i). */
export const KVM_REQ_FENCE_I = 8
/** Nothing but a reason to leave guest mode: an interrupt was posted. */
export const KVM_REQ_EVENT = 16
/** The VM is being destroyed: the vCPU must not enter again. */
export const KVM_REQ_VM_DEAD = 32
/** Drop the translations that end in the vCPU's pending range of guest frames. */
export const KVM_REQ_TLB_FLUSH_GFNS = 64

const REQUEST_NAMES: readonly (readonly [number, string])[] = [
  [KVM_REQ_TLB_FLUSH, 'TLB_FLUSH'],
  [KVM_REQ_FREE_OBSOLETE_ROOTS, 'FREE_OBSOLETE_ROOTS'],
  [KVM_REQ_HFENCE, 'HFENCE'],
  [KVM_REQ_FENCE_I, 'FENCE_I'],
  [KVM_REQ_EVENT, 'EVENT'],
  [KVM_REQ_VM_DEAD, 'VM_DEAD'],
  [KVM_REQ_TLB_FLUSH_GFNS, 'TLB_FLUSH_GFNS'],
]

/** Names of the bits of a request word, for reports. */
export function requestNames(requests: number): string {
  return REQUEST_NAMES.filter(([bit]) => (requests & bit) !== 0)
    .map(([, name]) => name)
    .join('|')
}

/** One sender's list of vCPUs that have yet to leave guest mode. */
interface Outstanding {
  /** Bit per vCPU. */
  mask: number
}

/** Modes, request bits and kick words of all vCPUs of one VM. */
export class VcpuRequests {
  /** Written by the vCPU; IN_GUEST -> EXITING by a sender. */
  readonly modes: Int32Array = new Int32Array(MAX_VCPUS)
  /** Set by senders, cleared by the vCPU. */
  readonly requests: Int32Array = new Int32Array(MAX_VCPUS)
  /** 1 = leave guest mode at the next quantum boundary. Set by senders, cleared by the vCPU as it leaves. */
  readonly kicks: Int32Array = new Int32Array(MAX_VCPUS)
  /** The tasks that run the vCPUs, for wait reports. */
  readonly tasks: (Task | null)[] = Array.from({ length: MAX_VCPUS }, () => null)
  private readonly outstanding: Outstanding[] = []
  private readonly acknowledged: WaitQueue
  protected readonly sched: Scheduler
  protected readonly trace: Trace
  private readonly vm: number

  constructor(sched: Scheduler, vm: number) {
    this.sched = sched
    this.trace = sched.trace
    this.vm = vm
    this.acknowledged = new WaitQueue(sched, `acknowledgement of the vCPUs of vm ${vm}`)
  }

  /** Posts a request without kicking: served at the next entry. */
  post(vcpu: number, request: number): void {
    this.requests[vcpu]! |= request
    if (this.trace.on) {
      this.trace.emit({ name: 'kvm_make_request', vm: this.vm, vcpu, request: requestNames(request) })
    }
  }

  /**
   * Makes a vCPU leave guest mode at its next quantum boundary.
   * @returns false when it was outside and need not be waited for
   */
  kick(vcpu: number): boolean {
    if (this.modes[vcpu] === OUTSIDE_GUEST_MODE) return false
    if (this.modes[vcpu] === IN_GUEST_MODE) {
      this.modes[vcpu] = EXITING_GUEST_MODE
      this.kicks[vcpu] = 1
      if (this.trace.on) this.trace.emit({ name: 'kvm_vcpu_kick', vm: this.vm, vcpu })
    }
    return true
  }

  /**
   * Posts a request to the vCPUs of a mask, kicks those in guest mode and waits until each of them has left it.
   * Sleeps, or spins when the caller is in atomic context.
   * @param mask bit per vCPU
   * @returns the mask of the vCPUs that had to be waited for
   */
  async makeRequestAndWait(mask: number, request: number): Promise<number> {
    for (let vcpu = 0; vcpu < MAX_VCPUS; vcpu++) if ((mask & (1 << vcpu)) !== 0) this.post(vcpu, request)
    if (this.sched.contended) await this.sched.point(this, 'w', 'request posted, modes not yet read')
    return this.kickAndWait(mask)
  }

  /**
   * Kicks the vCPUs of a mask and waits until none of those that were in guest mode is.
   * Interrupts arrive in any order: one vCPU may have left, and have come back, before the next one is told.
   */
  async kickAndWait(mask: number): Promise<number> {
    let waitFor = 0
    let left = mask & this.inGuestMode()
    if (left === 0) return 0
    const ticket: Outstanding = { mask: 0 }
    this.outstanding.push(ticket)
    while (left !== 0) {
      const vcpu = this.nextOf(left)
      left &= ~(1 << vcpu)
      if (this.kick(vcpu)) {
        if (this.tasks[vcpu] === this.sched.current) {
          throw new KernelBug(`vcpu ${vcpu} of vm ${this.vm} waits for itself to leave guest mode`, 'I8')
        }
        waitFor |= 1 << vcpu
        ticket.mask |= 1 << vcpu
      }
      if (left !== 0 && this.sched.contended) await this.sched.point(this, 'w', 'between two kicks')
    }
    const options = {
      why: `vcpus ${listVcpus(waitFor)} of vm ${this.vm} to leave guest mode`,
      holders: () => this.runners(ticket),
    }
    if (this.sched.inAtomic) await this.sched.spinUntil(() => ticket.mask === 0, options)
    else await this.acknowledged.wait(() => ticket.mask === 0, options)
    this.outstanding.splice(this.outstanding.indexOf(ticket), 1)
    return waitFor
  }

  /** The vCPU enters guest mode. It must look at its requests next. */
  enter(vcpu: number): void {
    this.modes[vcpu] = IN_GUEST_MODE
  }

  /** The vCPU leaves guest mode, and thereby acknowledges whoever kicked it. */
  leave(vcpu: number): void {
    const kicked = this.modes[vcpu] === EXITING_GUEST_MODE
    this.modes[vcpu] = OUTSIDE_GUEST_MODE
    this.kicks[vcpu] = 0
    if (!kicked) return
    if (this.trace.on) this.trace.emit({ name: 'kvm_vcpu_ack', vm: this.vm, vcpu })
    for (const ticket of this.outstanding) ticket.mask &= ~(1 << vcpu)
    this.acknowledged.wakeAll()
  }

  /** Takes one request: true if it was posted. */
  take(vcpu: number, request: number): boolean {
    if ((this.requests[vcpu]! & request) === 0) return false
    this.requests[vcpu]! &= ~request
    return true
  }

  private inGuestMode(): number {
    let mask = 0
    for (let vcpu = 0; vcpu < MAX_VCPUS; vcpu++) if (this.modes[vcpu] !== OUTSIDE_GUEST_MODE) mask |= 1 << vcpu
    return mask
  }

  /** The vCPU that is told next: the lowest, unless the order is explored. */
  private nextOf(mask: number): number {
    let rest = mask
    if (this.sched.choosing && (mask & (mask - 1)) !== 0) {
      const skipped = this.sched.choose(bitCount(mask), 'which vCPU takes the interrupt first')
      for (let i = 0; i < skipped; i++) rest &= rest - 1
    }
    return 31 - Math.clz32(rest & -rest)
  }

  private runners(ticket: Outstanding): Task[] {
    return this.tasks.filter((task, vcpu): task is Task => task !== null && (ticket.mask & (1 << vcpu)) !== 0)
  }
}

function bitCount(mask: number): number {
  let count = 0
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++
  return count
}

function listVcpus(mask: number): string {
  const ids: number[] = []
  for (let vcpu = 0; vcpu < MAX_VCPUS; vcpu++) if ((mask & (1 << vcpu)) !== 0) ids.push(vcpu)
  return ids.join(', ')
}
