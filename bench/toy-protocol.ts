/**
 * An unmap, a fault with retry, and a vCPU that is shot down, in a few lines against a `point` of anybody's making: so
 * that two schedulers can be given the same steps.
 */

/** A possible switch. */
export type Point = () => Promise<void>

const FREE = -1

export class ToyProtocol {
  /** Points passed. */
  steps = 0
  /** Invariants evaluated. */
  checks = 0
  private pte = 3
  private spte = FREE
  private sequence = 0
  private open = 0
  private readonly inUse = [true, true, true, true]
  private readonly point: Point

  constructor(point: Point) {
    this.point = point
  }

  /** Takes the page away and gives another, so many times. */
  async host(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      this.open++
      await this.step()
      this.spte = FREE
      await this.step()
      const frame = this.pte
      this.pte = FREE
      await this.step()
      this.inUse[frame] = false
      this.sequence++
      this.open--
      await this.step()
      this.inUse[frame] = true
      this.pte = frame
    }
  }

  /** Maps the page, so many times. */
  async guest(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const { sequence } = this
      await this.step()
      const frame = this.pte
      await this.step()
      if (frame !== FREE && this.open === 0 && this.sequence === sequence) this.spte = frame
      await this.step()
    }
  }

  private async step(): Promise<void> {
    this.steps++
    this.check()
    await this.point()
    this.check()
  }

  /** No spte of a frame that is free; none that differs from the host's page, outside an invalidation. */
  private check(): void {
    this.checks++
    if (this.spte === FREE) return
    if (!this.inUse[this.spte]!) throw new Error('an spte of a free frame')
    if (this.open === 0 && this.spte !== this.pte) throw new Error('a stale spte')
  }
}
