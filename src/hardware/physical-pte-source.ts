/**
 * PTEs that stand in physical memory: what the host's own walks and a G-stage walk read.
 *
 * R1 Addresses are host physical; one outside the frames is vacant, which the walker reports as an access fault.
 * R2 `low` and `high` are scratch, good until the next load (opaque).
 */
import { hpa } from '../base/index.ts'
import type { PhysicalMemory } from './physical-memory.ts'
import { PteResult } from './walker.ts'
import type { PteSource } from './walker.ts'

const PTE_BYTES = 8

export class PhysicalPteSource implements PteSource {
  static readonly opaque = true
  low = 0
  high = 0
  private readonly memory: PhysicalMemory

  constructor(memory: PhysicalMemory) {
    this.memory = memory
  }

  load(address: number): PteResult {
    if (!this.memory.contains(address, PTE_BYTES)) return PteResult.vacant
    const word = address >>> 2
    this.low = this.memory.words[word] as number
    this.high = this.memory.words[word + 1] as number
    return PteResult.done
  }

  compareAndSet(address: number, low: number, high: number, newLow: number): PteResult {
    if (!this.memory.contains(address, PTE_BYTES)) return PteResult.vacant
    return this.memory.compareAndSwapPte(hpa(address), low, high, newLow, high) ? PteResult.done : PteResult.lost
  }
}
