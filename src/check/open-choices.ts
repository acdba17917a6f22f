/**
 * Choices that production code leaves to the world around it, put to the explorer: an allocation that fails, hardware
 * that looks ahead or forgets.
 *
 * R1 Asked only while choices are explored, and as rarely as possible: each choice doubles the schedules.
 */
import type { FailPageAlloc } from '../host/index.ts'
import { Access } from '../hardware/index.ts'
import type { Vcpu } from '../mmu/index.ts'
import type { Scheduler } from '../sched/index.ts'
import { FIRST_GFN } from './world.ts'
import type { World } from './world.ts'

/** Any allocation may fail, until so many have. */
export class ChosenFailures implements FailPageAlloc {
  private readonly sched: Scheduler
  private left: number

  constructor(sched: Scheduler, most: number) {
    this.sched = sched
    this.left = most
  }

  shouldFail(): boolean {
    if (this.left === 0 || !this.sched.choosing) return false
    if (this.sched.choose(2, 'does the allocation fail') === 0) return false
    this.left--
    return true
  }
}

/**
 * A task for the hardware behind a vCPU. At any moment in guest mode it may walk the tables for a page that no
 * instruction asked for yet, and remember what it found, or forget everything that it remembers.
 * @param page page of guest memory
 * @param times things that it does, at most
 */
export async function speculate(world: World, page: number, times: number, vcpu: Vcpu = world.vcpu): Promise<void> {
  const { sched } = world.kernel
  for (let i = 0; i < times; i++) {
    if (sched.contended) await sched.point(vcpu, 'w', 'hardware looks ahead or forgets')
    if (vcpu.mode === 0 || !sched.choosing) continue
    if (sched.choose(2, 'fill or evict') === 0) vcpu.vm.mmu.translate(vcpu, FIRST_GFN + page, Access.read)
    else vcpu.tlb.flushAll()
  }
}
