/** `umbra replay`: the same run or a reason, from a line or a file; and the state of a run at one of its steps. */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { umbra as runCommand } from '../../src/cli/umbra.ts'

interface Result {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function umbra(...args: readonly string[]): Promise<Result> {
  let [out, err] = ['', '']
  const code = await runCommand([...args], {
    stdout: { write: (piece) => (out += String(piece)) },
    stderr: { write: (piece) => (err += String(piece)), isTTY: false, columns: 200 },
    env: {},
  })
  return { code, out, err }
}

interface Written {
  readonly version: string
  readonly schedule: string
  readonly timeline: readonly {
    readonly source: string
    readonly races: boolean
    readonly event: { readonly name: string }
    readonly calls: readonly { readonly file: string; readonly locals: readonly unknown[] }[]
  }[]
}

interface Found {
  readonly report: Result
  readonly path: string
  readonly file: Written
  /** Scenario, line, `--digest`, digest. */
  readonly command: readonly string[]
}

async function found(t: ExecutionContext): Promise<Found> {
  const folder = mkdtempSync(join(tmpdir(), 'umbra-replay-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const report = await umbra('check', 'exhibit:no-retry', '--violations', folder, '--schedules', '60')
  const path = join(folder, readdirSync(folder)[0]!)
  const command = /^umbra replay (.*)$/m.exec(report.out)![1]!.split(' ')
  return { report, path, file: JSON.parse(readFileSync(path, 'utf8')) as Written, command }
}

test('a violation is printed with lines of TypeScript, calls and locals, and the two steps that race', async (t) => {
  const { report, file } = await found(t)
  t.is(report.code, 1)
  t.regex(report.out, /^\* +\d+ +clear_pte: .* src\/host\/mm\.ts:\d+$/m)
  t.regex(report.out, /^\* +\d+ +kvm_mmu_set_spte: .* src\/mmu\/sptes\.ts:\d+$/m)
  t.regex(report.out, /^ +at adviseDontneed src\/host\/madvise\.ts:\d+:\d+ vma=\S+ start=0x3efffff000/m)
  t.regex(report.out, /^I1 violated: /m)
  t.regex(report.out, /^ {2}race: steps \d+ and \d+ \(marked \*\)$/m)
  t.deepEqual(
    file.timeline.filter(({ races }) => races).map(({ event }) => event.name),
    ['clear_pte', 'kvm_mmu_set_spte'],
  )
  const last = file.timeline.findLast(({ event }) => event.name === 'kvm_mmu_set_spte')!
  t.regex(last.source, /^src\/mmu\/sptes\.ts:\d+$/)
  t.true(last.calls.some((call) => call.file === 'src/mmu/page-fault.ts' && call.locals.length > 0))
})

const timeline = (text: string): string => text.slice(text.indexOf('\n* '), text.indexOf('(marked *)'))

test('a file and a line repeat the run; another trace ends with 4 and the step that differs', async (t) => {
  const { path, file, command, report } = await found(t)
  const again = await umbra('replay', path)
  t.is(again.code, 1, again.err)
  t.is(timeline(again.out), timeline(report.out))
  t.is(again.err, '')
  t.is((await umbra('replay', ...command)).code, 1)
  const changed = { ...file, code: '0000', digest: '00000000', timeline: structuredClone(file.timeline) }
  ;(changed.timeline[20]!.event as { name: string }).name = 'something_else'
  writeFileSync(path, JSON.stringify(changed))
  const other = await umbra('replay', path)
  t.is(other.code, 4)
  t.regex(other.err, /^umbra: '.*' was recorded with other code than this: the run may be another one\n$/)
  t.regex(other.out, /^DIVERGED: .*00000000; step 21 was \S+: .*something_else.* and is /m)
})

test('a schedule that was cut, is of another scenario or of another version is refused with what differs', async (t) => {
  const { path, file, command } = await found(t)
  const [name, line] = command as [string, string]
  const refused = async (...args: string[]): Promise<string> => {
    const { code, err } = await umbra('replay', ...args)
    t.is(code, 2)
    return err
  }
  t.regex(await refused(name, line.slice(0, -1)), /the schedule was cut or changed/)
  t.regex(await refused(name, line.slice(0, 12)), /not a schedule/)
  t.regex(await refused('unmap-vs-fault', line), /the schedule is of 'exhibit:no-retry', not of 'unmap-vs-fault'/)
  t.regex(await refused(name, line.replace(file.version, '0.0.9')), /made by umbra 0\.0\.9, and this is /)
  t.regex(await refused(join(path, 'absent.json')), /cannot replay '.*': ENO/)
  for (const [text, why] of [
    [JSON.stringify(file).slice(0, 300), /not JSON, or was cut/],
    ['{"type":"results"}', /it is no violation file/],
    [JSON.stringify({ ...file, format: 7 }), /its format is 7; expected 1/],
    [JSON.stringify({ ...file, version: '0.0.9' }), /written by umbra 0\.0\.9, and this is /],
    [JSON.stringify({ ...file, schedule: undefined }), /its schedule is missing/],
  ] as const) {
    writeFileSync(path, text)
    t.regex(await refused(path), why)
  }
})

function at(step: string, views: string): Promise<Result> {
  return umbra('replay', 'unmap-vs-warm', 'u1:', '--until', step, '--show', views)
}

test('the state after a step: tables, TLBs, SRCU, frames, tasks, and locals', async (t) => {
  const first = await at('1', 'tables,tlb,pages')
  t.is(first.code, 0, first.err)
  t.regex(first.out, /^vaddr +paddr +size +attr\n-[- ]+\n[0-9a-f]{16} [0-9a-f]{16} 0{12}1000 rw-u-/m)
  t.regex(first.out, /^ {2}gfn +pfn +level/m)
  t.regex(first.out, /^ {2}vcpu0 +\w+ +0x\w+ +0x80000 +0x\w+ +usable$/m)
  t.regex(first.out, /^PFN: 0x\w+\nPhysical address: /m)
  const inside = await at('12', 'srcu,tasks,locals')
  t.regex(inside.out, /^srcu mmu_notifier_srcu \(tiny\): readers host$/m)
  t.regex(inside.out, /^task host: .*holds .*mmap_lock/m)
  t.regex(inside.out, /^ {4}munmap src\/host\/munmap\.ts:\d+:\d+ .*start=0x3efffff000/m)
  t.is((await at('100000', 'tlb')).code, 2)
  t.regex((await at('1', 'nothing')).err, /--show: 'nothing' is none of tables, /)
})
