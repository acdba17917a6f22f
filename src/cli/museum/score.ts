/** `umbra museum score`: how many generated bugs the auditor kills, operation by mutation. */
import { equivalentMutants, mutationScore } from '../../check/index.ts'
import type { Fate } from '../../check/index.ts'
import { plural, tableLines, wrap } from '../../view/index.ts'
import { ExitCode } from '../exit-code.ts'
import type { Output } from '../output.ts'

/** Reasons are read in lines of so many columns. */
const WIDTH = 98

const nameOf = ({ mutant }: Fate): string => `${mutant.operation}/${mutant.mutation.name}`

function cellOf({ killedBy, mutant }: Fate): string {
  return killedBy ?? (mutant.equivalent === null ? 'SURVIVED' : '-')
}

/** Runs all mutants; exit code 1 when one that should be killed survives, or a reason is wrong. */
export async function score(output: Output): Promise<ExitCode> {
  const onFate = (fate: Fate): void => {
    if (!output.json) return
    const { mutant, killedBy, schedules } = fate
    const { operation, mutation, equivalent } = mutant
    output.object({
      type: 'mutant',
      operation,
      mutation: mutation.name,
      family: mutation.family,
      killedBy,
      schedules,
      equivalent,
    })
  }
  const { fates, killed, refuted, survivors, total } = await mutationScore({ onFate })
  const code = survivors.length + refuted.length === 0 ? ExitCode.consistent : ExitCode.violation
  if (output.json) {
    output.object({ type: 'score', killed, total, survivors: survivors.map(nameOf), refuted: refuted.map(nameOf) })
    return code
  }
  const mutations = [...new Set(fates.map(({ mutant }) => mutant.mutation.name))]
  const operations = [...new Set(fates.map(({ mutant }) => mutant.operation))]
  const rows = operations.map((operation) => [
    operation,
    ...fates.filter(({ mutant }) => mutant.operation === operation).map(cellOf),
  ])
  for (const line of tableLines(['operation', ...mutations], rows)) output.line(line)
  output.line()
  const reasons = new Map<string, string[]>()
  for (const fate of fates) {
    const { equivalent } = fate.mutant
    if (equivalent !== null) reasons.set(equivalent, [...(reasons.get(equivalent) ?? []), nameOf(fate)])
  }
  for (const { name, reason } of equivalentMutants) reasons.set(reason, [name])
  for (const [reason, names] of reasons) {
    for (const [at, line] of wrap(`${names.join(', ')}: ${reason}`, WIDTH).entries())
      output.line(`${at === 0 ? '-' : ' '} ${line}`)
  }
  output.line(`mutation score ${killed}/${total}, and ${plural(fates.length - total, 'mutant')} that can break nothing`)
  for (const fate of survivors) output.line(output.chalk.red(`survived: ${nameOf(fate)}`))
  for (const fate of refuted)
    output.line(output.chalk.red(`called equivalent, but killed by ${fate.killedBy}: ${nameOf(fate)}`))
  return code
}
