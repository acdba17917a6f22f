import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { COMMANDS } from '../../src/cli/commands.ts'
import { COMMON_OPTIONS } from '../../src/cli/command.ts'
import { EXIT_CODE_TEXT } from '../../src/cli/exit-code.ts'
import { EXAMPLE_GUEST_NAMES } from '../../src/cli/guests.ts'
import { ROOT, codeBlocks, documents, readText } from './sources.ts'

const README = readText('README.md')

test("the README's client is examples/your-own-client.ts, which is compiled and run", (t) => {
  const [client, ...others] = codeBlocks(README, 'ts')
  t.deepEqual(others, [])
  const example = readText('examples/your-own-client.ts')
  t.is(client!.trimEnd(), example.slice(example.indexOf('\n') + 1).trimEnd())
})

/** Command lines of umbra in a document: in blocks of shell, and in inline code. */
function commandLines(markdown: string): string[] {
  const shell = codeBlocks(markdown, 'sh').flatMap((block) => block.split('\n'))
  const inline = [...markdown.matchAll(/`((?:umbra|npm start --) [^`]+)`/g)].map(([, line]) => line!)
  const prompts = [...markdown.matchAll(/^\$ ((?:umbra|npm start --) .+)$/gm)].map(([, line]) => line!)
  return [...shell, ...inline, ...prompts]
    .map((line) => line.replace(/\s+#.*$/, '').replace(/^npm start --/, 'umbra'))
    .filter((line) => line.startsWith('umbra '))
}

test('every command line in the documents names a command, options and a guest that exist', (t) => {
  let seen = 0
  for (const document of documents()) {
    for (const line of commandLines(readText(document))) {
      seen++
      const [name, ...words] = line.split(/\s+/).slice(1)
      const command = COMMANDS.find((candidate) => candidate.name === name)
      if (command === undefined) return t.fail(`${document}: ${line}: no command is named ${name}`)
      const options = { ...command.options, ...COMMON_OPTIONS }
      for (const word of words.filter((each) => each.startsWith('--'))) {
        t.true(Object.hasOwn(options, word.slice(2)), `${document}: ${line}: ${name} has no ${word}`)
      }
      const operand = words[0]
      if ((name === 'run' || name === 'disasm') && operand !== undefined && /^[a-z][a-z-]*$/.test(operand)) {
        t.true(EXAMPLE_GUEST_NAMES.includes(operand), `${document}: ${line}: no guest is named ${operand}`)
      }
    }
  }
  t.true(seen >= 8)
})

test('the README names every command', (t) => {
  for (const { name } of COMMANDS) t.true(new RegExp(`\\b${name}\\b`).test(README), name)
})

test("the README's exit codes are the command's", (t) => {
  const rows = [...README.matchAll(/^\| (\d) \| (.+) \|$/gm)].map(([, code, text]) => [Number(code), text])
  t.deepEqual(
    rows,
    EXIT_CODE_TEXT.map(([code, text]) => [code, text]),
  )
})

test('the package can be imported by its name, and by each room that it exports', async (t) => {
  const { exports } = JSON.parse(readText('package.json')) as { exports: Record<string, unknown> }
  const entries = Object.keys(exports).filter((key) => !key.endsWith('.json'))
  const rooms = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory())
  t.deepEqual(
    entries.toSorted(),
    ['.', ...rooms.filter(({ name }) => name !== 'cli').map(({ name }) => `./${name}`)].toSorted(),
  )
  const whole = (await import('umbra')) as Record<string, unknown>
  for (const entry of entries) {
    const room = (await import(`umbra${entry.slice(1)}`)) as Record<string, unknown>
    t.true(Object.keys(room).length > 0, entry)
    for (const name of Object.keys(room)) t.true(name in whole, `umbra does not export ${name} of ${entry}`)
  }
})

test('the changelog has an entry for the version of package.json', (t) => {
  const { version } = JSON.parse(readText('package.json')) as { version: string }
  t.true(readText('CHANGELOG.md').includes(`## [${version}]`))
})
