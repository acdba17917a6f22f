/** notifier: SRCU, and the mmu_notifier list that every callout walks under it. */
export { createSrcu } from './create-srcu.ts'
export { Rcu } from './rcu.ts'
export { SrcuClassic } from './srcu-classic.ts'
export { SrcuCounted } from './srcu-counted.ts'
export { SrcuTiny } from './srcu-tiny.ts'
export { SrcuStats } from './srcu.ts'
export type { Srcu, SrcuCallback, SrcuKind, SrcuOptions } from './srcu.ts'
