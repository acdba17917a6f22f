/** check: the auditor, golden memory, the storms, and runs with all of them. */
export { Auditor, violationOf } from './auditor.ts'
export type { AuditLevel, AuditorOptions } from './auditor.ts'
export type { AuditedTranslation, AuditedVm, AuditedWorld, HostPte } from './audited-world.ts'
export { ViolationError, describePage } from './violation.ts'
export type { Violation } from './violation.ts'
export { EventHistory } from './event-history.ts'
export type { PageNames, PastEvent } from './event-history.ts'
export { GoldenMemory, describeMismatch } from './golden-memory.ts'
export type { GoldenMismatch } from './golden-memory.ts'
export { FigureCollector } from './figure-collector.ts'
export { total, vacuity } from './figures.ts'
export type { Figures, HookFigures, HostFigures, MmFigures, SrcuFigures, Tally, Work } from './figures.ts'
export { Histogram } from './histogram.ts'
export { checksMade, ranked, verdictOf } from './report.ts'
export type {
  AuditReport,
  GuestProgress,
  GuestReport,
  Outcome,
  RunProgress,
  RunReport,
  StormReport,
  Verdict,
} from './report.ts'
export { StormTarget, stormKinds } from './storm/index.ts'
export type { StormKind, StormRegion } from './storm/index.ts'
export { injections } from './inject.ts'
export type { Injection } from './inject.ts'
export { Session } from './session.ts'
export type { GuestSpec, SessionOptions, StormOptions } from './session.ts'
export { addressReport, pageReport } from './page-report.ts'
export type { AddressReport, MappedPte, PageReport, PageTranslation } from './page-report.ts'
export { KernelWorld } from './kernel-world.ts'
export * from './museum/index.ts'
export { FIRST_GFN, buildWorld, guestLoad, guestStore, pageOf, runGuest, takeDown } from './world.ts'
export type { GuestAccess, World, WorldOptions, WorldParts } from './world.ts'
export { defineScenario, findingOf, runClosely } from './scenario.ts'
export type { RecordedEvent, Run, RunOptions, Scenario, ScenarioSpec } from './scenario.ts'
export * from './coverage/index.ts'
export * from './explore/index.ts'
export { scenarios } from './scenarios/index.ts'
export * from './litmus/index.ts'
export { racingOnObject, racingSteps } from './race.ts'
export { callsFrom, runningCalls } from './frames/chain.ts'
export type { CallView } from './frames/chain.ts'
