/** `umbra museum run global-srcu`: what one SRCU for all mms saves, and what it costs. */
import { measureGlobalSrcu } from '../../check/index.ts'
import { bytesText, countText, tableLines, timeText } from '../../view/index.ts'
import { ExitCode } from '../exit-code.ts'
import type { Output } from '../output.ts'

export const METER = 'global-srcu'
export const METER_SUMMARY = '21a92735f660: what one SRCU for all mms saves, and what it costs'

/** Measures the three claims and prints them. */
export async function meter(output: Output): Promise<ExitCode> {
  const measured = await measureGlobalSrcu()
  const holds = measured.rcuCaughtAfter !== null && measured.srcuClean
  const code = holds ? ExitCode.consistent : ExitCode.violation
  if (output.json) {
    output.object({ type: 'museum-run', name: METER, holds, ...measured })
    return code
  }
  const { bold } = output.chalk
  output.line(bold(`${METER}: ${METER_SUMMARY}`))
  output.line()
  const caught = measured.rcuCaughtAfter === null ? 'NOT caught' : `caught by schedule ${measured.rcuCaughtAfter} (I5)`
  output.line(`1. a hook that sleeps: under RCU ${caught}, under SRCU ${measured.srcuClean ? 'safe' : 'NOT safe'}`)
  output.line()
  output.line('2. counters of SRCU, computed from 4 words of 8 bytes a CPU (v3.7): one for each mm, or one for all')
  const bytes = measured.bytes.map(({ mms, cpus, perMm, global }) => [
    `   ${countText(mms)}`,
    cpus,
    bytesText(perMm),
    bytesText(global),
  ])
  for (const line of tableLines(['   mms', 'CPUs', 'one each', 'one for all'], bytes)) output.line(line)
  output.line()
  output.line('3. unregister in mm B, while a hook of mm A sleeps: how long it waits')
  const waits = measured.waits.map(({ hook, perMm, global }) => [
    `   ${timeText(hook)}`,
    timeText(perMm),
    timeText(global),
  ])
  for (const line of tableLines(['   hook of A', 'one SRCU each', 'one for all'], waits)) output.line(line)
  return code
}
