/** coverage: what the runs of a search have reached, and what they have not. */
export { Coverage, joinCoverage } from './coverage.ts'
export type { CoverageData } from './coverage.ts'
export { uncoveredPairs } from './pairs.ts'
export type { PairCount, UncoveredPair } from './pairs.ts'
export type { OrderData, StepFacts } from './orders.ts'
export type { Worked } from './work.ts'
