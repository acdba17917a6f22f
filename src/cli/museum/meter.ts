/** `umbra museum run global-srcu`: what one SRCU for all mms saves, and what it costs. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { measureGlobalSrcu, srcuDomains } from '../../check/index.ts'
import type { SrcuMeasurement, SrcuWait } from '../../check/index.ts'
import { bytesText, countText, curveLines, histogramLines, tableLines, timeText } from '../../view/index.ts'
import { ExitCode } from '../exit-code.ts'
import type { Output } from '../output.ts'

export const METER = 'global-srcu'
export const METER_SUMMARY = '21a92735f660: what one SRCU for all mms saves, and what it costs'

/** Domains that are made to weigh them. */
const WEIGHED = 2000
const WEIGHED_CPUS = 64

/** Bytes that one domain takes in this process, its counters included. */
function weigh(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const settled = (): number => {
    for (let i = 0; i < 3; i++) collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const before = settled()
  const kept = srcuDomains('classic', WEIGHED_CPUS, WEIGHED)
  return Math.round((settled() - before) / kept.length)
}

/** Measures the three claims and prints them. */
export async function meter(output: Output): Promise<ExitCode> {
  const measured = await measureGlobalSrcu()
  const processBytes = weigh()
  const holds = measured.rcuCaughtAfter !== null && measured.srcuClean && measured.waitsAsClaimed
  const code = holds ? ExitCode.consistent : ExitCode.violation
  if (output.json) {
    output.object({ type: 'museum-run', name: METER, holds, ...measured, processBytes })
    return code
  }
  const { bold, red } = output.chalk
  output.line(bold(`${METER}: ${METER_SUMMARY}`))
  output.line()
  const caught =
    measured.rcuCaughtAfter === null ? red('NOT caught') : `caught by schedule ${measured.rcuCaughtAfter} (I5)`
  output.line(bold('1. A hook that sleeps'))
  output.line(`   under RCU: ${caught}`)
  output.line(`   under SRCU: ${measured.srcuClean ? measured.srcuVerdict : red(measured.srcuVerdict)}`)
  output.line()
  printBytes(measured, processBytes, output)
  output.line()
  printWaits(measured, output)
  return code
}

function printBytes({ bytes }: SrcuMeasurement, processBytes: number, output: Output): void {
  output.line(output.chalk.bold('2. Bytes of counters, measured on the domains: one for each mm, or one for all'))
  const mms = bytes[0]!.perMm.map((each) => each.mms)
  const rows = bytes.map(({ kind, cpus, domain, perMm }) => [
    `   ${kind}`,
    cpus,
    bytesText(domain),
    ...perMm.map((each) => bytesText(each.bytes)),
  ])
  const heads = ['   SRCU', 'CPUs', 'one for all', ...mms.map((count) => `${countText(count)} mms`)]
  for (const line of tableLines(heads, rows)) output.line(line)
  output.line()
  const series = bytes
    .filter(({ kind }) => kind === 'classic')
    .map(({ perMm }, at) => ({
      mark: 'abc'[at]!,
      points: perMm.map((each) => ({ x: each.mms, y: each.bytes })),
    }))
  for (const line of curveLines(series, { x: (value) => `${countText(value)} mms`, y: bytesText }))
    output.line(`   ${line}`)
  const legend = bytes.filter(({ kind }) => kind === 'classic').map(({ cpus }, at) => `${'abc'[at]} = ${cpus} CPUs`)
  output.line(`   classic, one for each mm: ${legend.join(', ')}`)
  output.line('   Counters are 32 bits wide here, and 64 in the kernel: there it is twice as much.')
  output.line(
    `   In this process a classic domain for ${WEIGHED_CPUS} CPUs takes ${bytesText(processBytes)}, objects included (${countText(WEIGHED)} weighed).`,
  )
}

const longest = (waits: readonly SrcuWait[], of: 'perMm' | 'global'): string =>
  timeText(Math.max(...waits.map((wait) => wait[of])))

function printWaits({ waits, histograms, waitsAsClaimed }: SrcuMeasurement, output: Output): void {
  const { bold, red } = output.chalk
  output.line(bold('3. Waits in mm B while a hook of mm A sleeps: unregister and exit, hooks of 1 us to 65 ms'))
  const rows = (['unregister', 'exit'] as const).map((who) => {
    const own = waits.filter((wait) => wait.who === who)
    return [`   ${who}`, own.length, longest(own, 'perMm'), longest(own, 'global')]
  })
  for (const line of tableLines(['   who waits', 'times', 'longest, one each', 'longest, one for all'], rows))
    output.line(line)
  for (const [title, buckets] of [
    ['one SRCU for each mm', histograms.perMm],
    ['one SRCU for all', histograms.global],
  ] as const) {
    output.line()
    output.line(`   ${title} (ns)`)
    for (const line of histogramLines(buckets)) output.line(`   ${line}`)
  }
  output.line()
  if (waitsAsClaimed)
    output.line('   With one for all everybody waits for the hook to its end; with one each nobody does.')
  else output.line(red('   NOT as claimed: some wait was shorter or longer than the design says.'))
}
