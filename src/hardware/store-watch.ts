/**
 * Frames of which somebody holds a copy in another form (translated code), and who must hear of stores to them.
 *
 * R1 A store to a watched frame is reported before it is made, and ends the watch: whoever still cares watches again.
 * R2 Whoever stores without reporting (generated code) asks `isWatched` first, and hears when a frame becomes watched.
 */
import { PAGE_SIZE } from '../base/index.ts'
import type { Pfn } from '../base/index.ts'

export interface StoreWatcher {
  /** From now on stores to the frame are reported. */
  frameWatched(pfn: Pfn): void
  /** The frame is about to be stored to, and is watched no more. */
  frameStored(pfn: Pfn): void
}

export class StoreWatch {
  static readonly opaque = true
  /** Watched frames: stores look no further while it is 0. */
  live = 0
  private readonly flags: Uint8Array
  private readonly watchers: StoreWatcher[] = []

  /** @param flags one a frame, zero; 1 while the frame is watched, for generated code to see */
  constructor(flags: Uint8Array) {
    this.flags = flags
  }

  attach(watcher: StoreWatcher): void {
    this.watchers.push(watcher)
  }

  detach(watcher: StoreWatcher): void {
    const at = this.watchers.indexOf(watcher)
    if (at >= 0) this.watchers.splice(at, 1)
  }

  isWatched(pfn: Pfn): boolean {
    return this.flags[pfn] === 1
  }

  watch(pfn: Pfn): void {
    if (this.flags[pfn] === 1) return
    this.flags[pfn] = 1
    this.live++
    for (const watcher of this.watchers) watcher.frameWatched(pfn)
  }

  /** `size` bytes from the host physical address will be stored to. */
  storing(hpa: number, size: number): void {
    const last = Math.floor((hpa + size - 1) / PAGE_SIZE)
    for (let pfn = Math.floor(hpa / PAGE_SIZE); pfn <= last; pfn++) {
      if (this.flags[pfn] === 0) continue
      this.flags[pfn] = 0
      this.live--
      for (const watcher of this.watchers) watcher.frameStored(pfn as Pfn)
    }
  }
}
