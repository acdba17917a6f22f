/** `umbra check --litmus`: the public SRCU litmus tests on each implementation. */
import { litmusNotMirrored, litmusTests, misuses, runLitmus, runMisuse, srcuKinds } from '../check/index.ts'
import { plural, tableLines } from '../view/index.ts'
import { ExitCode } from './exit-code.ts'
import type { Output } from './output.ts'

/** Runs them all. @returns consistent, or violation when an outcome was shown that cannot be, or one never was that can */
export async function litmus(values: { readonly schedules: number }, output: Output): Promise<ExitCode> {
  const rows: string[][] = []
  const wrong: string[] = []
  for (const test of litmusTests) {
    for (const kind of srcuKinds) {
      const result = await runLitmus(test, kind, { schedules: values.schedules })
      if (result.wrong !== null) wrong.push(`${test.name} (${kind}): ${result.wrong}`)
      if (output.json) output.object({ type: 'litmus', ...result, linux: test.linux })
      else {
        const here = result.exists ? 'Sometimes' : 'Never'
        rows.push([
          test.name,
          kind,
          test.needsWeakMemory ? `${test.linux} (weak memory)` : test.linux,
          here,
          result.allowed === null ? 'asked for one' : `${result.shown} of ${result.allowed}`,
          String(result.schedules),
        ])
      }
    }
  }
  for (const misuse of misuses) {
    for (const kind of srcuKinds) {
      const result = await runMisuse(misuse, kind)
      if (result.wrong !== null) wrong.push(`${misuse.name} (${kind}): ${result.wrong}`)
      if (output.json) output.object({ type: 'misuse', ...result })
      else {
        const expected = misuse.reported === null ? 'legal' : 'reported'
        rows.push([misuse.name, kind, expected, result.reported === null ? 'legal' : 'reported', '', '1'])
      }
    }
  }
  const exitCode = wrong.length > 0 ? ExitCode.violation : ExitCode.consistent
  if (output.json) {
    output.object({ type: 'verdict', exitCode, tests: litmusTests.length + misuses.length, wrong })
    return exitCode
  }
  for (const line of tableLines(['litmus test', 'srcu', 'Linux', 'here', 'outcomes shown', 'schedules'], rows)) {
    output.line(line)
  }
  for (const [name, why] of Object.entries(litmusNotMirrored)) output.line(`not run: ${name}: ${why}`)
  for (const line of wrong) output.line(`WRONG: ${line}`)
  const count = plural(litmusTests.length + misuses.length, 'test')
  output.line(
    wrong.length > 0 ? `${count}, ${wrong.length} wrong` : `${count}: each outcome that can be was shown, no other`,
  )
  return exitCode
}
