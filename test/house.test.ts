/** The rules of the house that the compiler and the linter do not state by themselves. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'

const ROOMS = ['base', 'sched', 'hardware', 'notifier', 'host', 'mmu', 'guest', 'check', 'view', 'cli'] as const
/** Rooms whose async functions can be lowered to frames: docs/architecture.md, time and concurrency, 8. */
const LOWERED = ['sched', 'notifier', 'host', 'mmu'] as const

interface Project {
  readonly compilerOptions?: { readonly types?: readonly string[] }
  readonly references?: readonly { readonly path: string }[]
}

const projectOf = (room: string): Project => JSON.parse(readFileSync(`src/${room}/tsconfig.json`, 'utf8')) as Project

function sources(room: string): readonly { readonly file: string; readonly text: string }[] {
  return readdirSync(`src/${room}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ file: join('src', room, name), text: readFileSync(join('src', room, name), 'utf8') }))
}

/** The code without comments and without what stands in quotes. */
const codeOf = (text: string): string =>
  text
    .replaceAll(/\/\*[^]*?\*\//g, '')
    .replaceAll(/\/\/.*$/gm, '')
    .replaceAll(/'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g, "''")

function offenders(rooms: readonly string[], pattern: RegExp, except: readonly string[] = []): string[] {
  const found: string[] = []
  for (const room of rooms) {
    for (const { file, text } of sources(room)) {
      const hit = pattern.exec(codeOf(text))
      if (hit !== null && !except.includes(file)) found.push(`${file}: ${hit[0]}`)
    }
  }
  return found
}

test('a room is built with the rooms to its left and with nothing else', (t) => {
  for (const [place, room] of ROOMS.entries()) {
    const { references = [], compilerOptions } = projectOf(room)
    const known = references.map(({ path }) => path.replace('../', ''))
    t.deepEqual(
      known.filter((other) => !(ROOMS.slice(0, place) as readonly string[]).includes(other)),
      [],
      room,
    )
    t.deepEqual(compilerOptions?.types ?? [], room === 'cli' ? ['node'] : [], room)
  }
  const base = JSON.parse(readFileSync('tsconfig.base.json', 'utf8')) as Project
  t.deepEqual(base.compilerOptions?.types, [])
})

/** The loader's thread takes the pass alone: loading the whole room would lower the pass itself. */
const PAST_THE_INDEX = ['src/cli/lower-hook.ts']

test('a room is entered through its index alone', (t) => {
  for (const room of ROOMS) {
    for (const { file, text } of sources(room)) {
      for (const [, path] of text.matchAll(/from '((?:\.\.\/)+[^']+)'/g)) {
        const target = join(file, '..', path!)
        const other = target.split('/')[1]
        if (other !== room && !PAST_THE_INDEX.includes(file))
          t.is(target, `src/${other}/index.ts`, `${file} imports ${path}`)
      }
    }
  }
})

test('promises are made in the seam, and in the two calls that the surrounding program awaits', (t) => {
  t.deepEqual(
    offenders(ROOMS.slice(0, -1), /new Promise|Promise\.(?:all|race|any|allSettled|resolve|reject)/, [
      'src/sched/park.ts',
      'src/sched/scheduler.ts',
    ]),
    [],
  )
  // The runtime of lowered code stands in for the engine's await.
  const seams = ['src/sched/park.ts', 'src/check/frames/runtime.ts']
  t.deepEqual(offenders(ROOMS.slice(0, -1), /\.then\(|\.catch\(/, seams), [])
})

test('what is to be saved and hashed uses nothing that cannot be', (t) => {
  t.deepEqual(offenders(LOWERED, /[.\s]#[a-z]\w*\b/i), [], '#private members')
  t.deepEqual(offenders(LOWERED, /for await|async \*|async function\*/), [], 'async generators')
  t.deepEqual(offenders(LOWERED, /\bWeakMap\b|\bWeakRef\b|\bProxy\b|\bSymbol\(|Object\.assign|\.bind\(/), [])
  t.deepEqual(offenders(LOWERED, /^(?:let|var) /m), [], 'mutable state of a module')
  t.deepEqual(offenders(['base', 'hardware', 'guest', 'check', 'view'], /^(?:let|var) /m), [])
})
