/** Progress as one line, or as a block that a terminal redraws in place. */
import type { RunProgress } from '../check/index.ts'
import { bytesText, countText, timeText } from './units.ts'

const CELLS = 24

/** `[########................]  33%`. @param share 0 to 1 */
export function bar(share: number): string {
  const full = Math.max(0, Math.min(CELLS, Math.floor(share * CELLS)))
  return `[${'#'.repeat(full)}${'.'.repeat(CELLS - full)}] ${String(Math.floor(Math.min(share, 1) * 100)).padStart(3)}%`
}

/** One line, for a log. */
export function progressLine(run: RunProgress): string {
  const guests = run.guests.map((g) => `${g.name} ${g.state === 'running' ? countText(g.instructions) : g.state}`)
  return [
    `t=${timeText(run.now)}`,
    ...guests,
    `free ${run.framesFree}/${run.frames}`,
    `swap ${run.swapUsed}`,
    `storms ${countText(run.storms)}`,
    `checks ${countText(run.checks)}`,
    `violations ${run.violations}`,
  ].join(' | ')
}

/** Several lines, for a terminal. */
export function progressBlock(run: RunProgress): string[] {
  const width = Math.max(...run.guests.map((g) => g.name.length))
  const used = (run.frames - run.framesFree) / run.frames
  return [
    `virtual time ${timeText(run.now).padStart(9)}  host memory ${bar(used)} of ${bytesText(run.frames * 4096)}  swap ${bytesText(run.swapUsed * 4096)}`,
    ...run.guests.map(
      (g) =>
        `  ${g.name.padEnd(width)}  ${g.state.padEnd(9)} ${countText(g.instructions).padStart(11)} instructions` +
        ` ${countText(g.faults).padStart(7)} faults ${countText(g.zaps).padStart(7)} zaps`,
    ),
    `  ${countText(run.storms)} storm operations, ${countText(run.checks)} checks, ${countText(run.violations)} violations`,
  ]
}
