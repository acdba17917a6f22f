/** What a scheduler and its tasks are made with. */
import type { Policy } from './policy.ts'

export interface SchedulerOptions {
  /** Seed of every random choice. Default 1. */
  readonly seed?: number
  /** Number of CPUs that tasks are spread over. Default 2. */
  readonly cpus?: number
  /** Default `fifo()`. */
  readonly policy?: Policy
  /** Called between two bursts, when the surrounding program has had its turn. */
  readonly onTurn?: () => void
}

export interface SpawnOptions {
  /** Does not keep the kernel running. Default false. */
  readonly daemon?: boolean
  /** Default: CPUs in turn. */
  readonly cpu?: number
}
