/** Guest memory without translation: what is left is the engine itself. */
import { PAGE_SIZE, hpa } from '../src/base/index.ts'
import type { Gvn } from '../src/base/index.ts'
import { Miss } from '../src/guest/index.ts'
import type { HartMemory, MissKind } from '../src/guest/index.ts'
import { PhysicalMemory } from '../src/hardware/index.ts'

/** First address of the memory, where SBI guests start. */
export const RAM_BASE = 0x8000_0000

export class FlatMemory implements HartMemory {
  readonly bytes: PhysicalMemory
  readonly missKind: MissKind = Miss.GUEST_FAULT
  readonly missCause = 5
  private readonly frames: number

  constructor(frames: number) {
    this.bytes = new PhysicalMemory(frames)
    this.frames = frames
  }

  translateFetch(page: Gvn): number {
    return this.translate(page)
  }
  translateRead(page: Gvn): number {
    return this.translate(page)
  }
  translateWrite(page: Gvn): number {
    return this.translate(page)
  }
  setContext(): void {}
  setSatp(): void {}
  sfenceVma(): void {}

  /** Puts instruction words at the start of the memory. */
  load(words: readonly number[]): void {
    for (const [index, word] of words.entries()) this.bytes.write32(hpa(index * 4), word)
  }

  private translate(page: number): number {
    const frame = page - RAM_BASE / PAGE_SIZE
    return frame >= 0 && frame < this.frames ? frame * PAGE_SIZE : -1
  }
}
