/** check: the auditor, golden memory and the storms. */
export { EventHistory } from './event-history.ts'
export type { PageNames, PastEvent } from './event-history.ts'
export { GoldenMemory, describeMismatch } from './golden-memory.ts'
export type { GoldenMismatch } from './golden-memory.ts'
