/**
 * `npm run bench [-- [--write] FILTER...]`: measures the subjects whose names contain one of the filters.
 *
 * R1 Ratios come from one run: what is compared was measured in turn, on the same machine, within seconds.
 * R2 Nothing is written unless `--write` asks for bench/RESULTS.md: all of it, or the sections of the subjects measured,
 *    each of which then names its machine.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { machine } from './machine.ts'
import { memory } from './memory.ts'
import { asMarkdown, asText } from './report.ts'
import type { Report, Subject } from './report.ts'
import { withSection } from './results-file.ts'
import { audit } from './audit.ts'
import { callouts } from './callouts.ts'
import { explorer } from './explorer.ts'
import { museum } from './museum.ts'
import { spin } from './spin.ts'
import { costs } from './costs.ts'
import { dontneed } from './dontneed.ts'
import { engine } from './engine.ts'
import { interpreter } from './interpreter.ts'
import { spteFill } from './spte-fill.ts'
import { srcu } from './srcu.ts'
import { taskSwitch } from './task-switch.ts'
import { touch } from './touch.ts'

const SUBJECTS: readonly Subject[] = [
  srcu,
  taskSwitch,
  callouts,
  spteFill,
  dontneed,
  interpreter,
  machine,
  engine,
  touch,
  costs,
  audit,
  explorer,
  museum,
  spin,
  memory,
]

function machineInWords(): string {
  const processors = cpus()
  const gib = Math.round(totalmem() / 2 ** 30)
  return `${processors[0]!.model.trim()}, ${processors.length} cores, ${gib} GiB, Node ${process.version} (V8 ${process.versions.v8})`
}

const RESULTS = new URL('../../bench/RESULTS.md', import.meta.url)

const { values, positionals } = parseArgs({ allowPositionals: true, options: { write: { type: 'boolean' } } })
const wanted = SUBJECTS.filter(
  ({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)),
)

if (wanted.length === 0) {
  console.error(
    `no subject is named ${positionals.join(', ')}; there are ${SUBJECTS.map(({ name }) => name).join(', ')}`,
  )
  process.exitCode = 2
} else {
  console.log(`${machineInWords()}\n`)
  const reports: [Subject, Report][] = []
  for (const subject of wanted) {
    console.log(`== ${subject.title} ==\n`)
    const report = await subject.measure()
    console.log(`${asText(report)}\n`)
    reports.push([subject, report])
  }
  if (values.write === true) {
    writeFileSync(RESULTS, documentOf(reports))
    console.log('bench/RESULTS.md is written')
  }
}

/** All sections from one run; or the document as it is, with those that were measured now. */
function documentOf(reports: readonly (readonly [Subject, Report])[]): string {
  if (reports.length === SUBJECTS.length) {
    const head = `# Results\n\nMachine: ${machineInWords()}. One run of \`npm run bench -- --write\`; ratios are within this run.`
    return `${[head, ...reports.map(([subject, report]) => asMarkdown(subject, report))].join('\n\n')}\n`
  }
  const headings = SUBJECTS.map(({ title }) => `## ${title}`)
  let document = readFileSync(RESULTS, 'utf8')
  for (const [subject, report] of reports) {
    const own = `Measured in a run of its own: ${machineInWords()}.`
    document = withSection(document, `${asMarkdown(subject, report)}\n\n${own}`, headings)
  }
  return document
}
