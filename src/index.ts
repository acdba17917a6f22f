/** Umbra: every room's public names in one place. */
export * from './base/index.ts'
export * from './sched/index.ts'
export * from './hardware/index.ts'
export * from './notifier/index.ts'
export * from './host/index.ts'
export * from './mmu/index.ts'
export * from './guest/index.ts'
export * from './check/index.ts'
export * from './view/index.ts'

// Names that two rooms use: here the one that stands for the machine; the other one is in its room's own entry point.
export { Access } from './hardware/index.ts'
export type { FaultedPage } from './host/index.ts'
export { Cell } from './guest/index.ts'
export type { MissKind } from './guest/index.ts'
