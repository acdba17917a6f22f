/** `umbra list`: what there is to run. */
import { stormKinds } from '../check/index.ts'
import { tableLines, bytesText } from '../view/index.ts'
import { ExitCode } from './exit-code.ts'
import { EXAMPLE_GUESTS } from './guests.ts'
import type { Output } from './output.ts'

const guestLines = (hostile: boolean): string[] =>
  tableLines(
    ['  name', 'memory', 'bootargs', 'what it does'],
    EXAMPLE_GUESTS.filter((guest) => guest.hostile === hostile).map((guest) => [
      `  ${guest.name}`,
      bytesText(guest.memory),
      guest.bootargs,
      guest.summary,
    ]),
  )

/** Prints the example guests and the kinds of storm. */
export function list(output: Output): ExitCode {
  if (output.json) {
    for (const { name, summary, memory, bootargs, hostile } of EXAMPLE_GUESTS) {
      output.object({ type: 'guest', name, summary, memory, bootargs, hostile })
    }
    for (const { name, summary } of stormKinds) output.object({ type: 'storm', name, summary })
    return ExitCode.consistent
  }
  const { bold } = output.chalk
  const print = (title: string, lines: readonly string[]): void => {
    output.line(bold(title))
    for (const line of lines) output.line(line)
  }
  print('guests (umbra run NAME)', guestLines(false))
  output.line()
  print('guests that misbehave', guestLines(true))
  output.line()
  print(
    'storms (--storm-kinds LIST)',
    tableLines(
      ['  name', 'what it does to the memory of a running guest'],
      stormKinds.map((kind) => [`  ${kind.name}`, kind.summary]),
    ),
  )
  return ExitCode.consistent
}
