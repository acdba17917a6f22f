/** view: events and states as plain text. */
export { columnLines } from './columns.ts'
export { histogramLines } from './histogram.ts'
export { lockCard, lockTree, lockingDocument } from './locking.ts'
export type { LockRoom } from './locking.ts'
export { pageLines } from './page.ts'
export type { PageReport } from './page.ts'
export { infoMemLines, pageTableLeaves, pteAttributes, spteLines } from './page-table.ts'
export type { PageTableLeaf } from './page-table.ts'
export { bar, progressBlock, progressLine } from './progress.ts'
export { figureLines, tableLines } from './table.ts'
export type { Cell, Column } from './table.ts'
export { timelineLines } from './timeline.ts'
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
