/** view: events and states as plain text. */
export { changeLines } from './change.ts'
export { columnLines } from './columns.ts'
export { coverageLines } from './coverage.ts'
export type { ScenarioCoverage } from './coverage.ts'
export { curveLines } from './curve.ts'
export type { CurveSeries } from './curve.ts'
export { histogramLines } from './histogram.ts'
export { lockCard, lockTree, lockingDocument } from './locking.ts'
export type { LockRoom } from './locking.ts'
export { addressLines, pageLines } from './page.ts'
export { infoMemLines, pageTableLeaves, pteAttributes, spteLines } from './page-table.ts'
export type { PageTableLeaf } from './page-table.ts'
export { bar, progressBlock, progressLine } from './progress.ts'
export { figureLines, tableLines } from './table.ts'
export type { Cell, Column } from './table.ts'
export { pagesStateLines, srcuStateLines, tablesStateLines, tasksStateLines, tlbStateLines } from './state.ts'
export { callText, timelineLines } from './timeline.ts'
export type { TimelineOptions, TimelineStep } from './timeline.ts'
export { TRACE_HEADER, eventText, timestamp, traceLine } from './trace-line.ts'
export { bytesText, countText, plural, timeText } from './units.ts'
export {
  INVARIANT_TEXT,
  auditLines,
  guestLines,
  hostLines,
  srcuLines,
  stormLines,
  vacuityLines,
  verdictLine,
  violationLines,
} from './report.ts'
export { wrap } from './wrap.ts'
