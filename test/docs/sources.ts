/** The repository as text: its documents, what they link to, and what its source files declare. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root, as seen from build/test/docs. */
export const ROOT: string = fileURLToPath(new URL('../../../', import.meta.url))

export const readText = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** The documents a reader meets, relative to the root. */
export function documents(): string[] {
  const docs = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'))
  const rest = ['README.md', 'CHANGELOG.md', 'examples/README.md', 'bench/RESULTS.md']
  return [...docs.map((name) => `docs/${name}`), ...rest.filter((path) => existsSync(join(ROOT, path)))]
}

export interface Link {
  readonly text: string
  readonly target: string
}

/** Links outside code blocks. */
export function links(markdown: string): Link[] {
  const prose = markdown.replaceAll(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/\[([^\]]+)\]\(([^)\s]+)\)/g)].map(([, text, target]) => ({ text: text!, target: target! }))
}

/** Path of a relative link, from the root; null for one that leaves the repository. */
export function linkedPath(document: string, target: string): string | null {
  if (/^[a-z]+:/.test(target)) return null
  const path = target.replace(/#.*/, '')
  return path === '' ? document : relative(ROOT, join(ROOT, dirname(document), path))
}

/** Anchors of a document's headings, as GitHub makes them. */
export function anchors(markdown: string): Set<string> {
  const headings = [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!)
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

/** Fenced blocks of a language. */
export function codeBlocks(markdown: string, language: string): string[] {
  const pattern = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm')
  return [...markdown.matchAll(pattern)].map(([, code]) => code!)
}

/** Does the file declare this name, or this member of a class or interface (`Mm.munmap`)? */
export function declares(path: string, name: string): boolean {
  const text = readText(path)
  const [owner, member] = name.split('.') as [string, string | undefined]
  const declaration = new RegExp(
    `^export (?:abstract |async )*(?:function|class|const|interface|type) ${owner}\\b`,
    'm',
  )
  const found = declaration.exec(text)
  if (found === null) return false
  if (member === undefined) return true
  const rest = text.slice(found.index)
  const body = rest.slice(0, rest.search(/^}/m))
  const modifiers = '(?:protected |private |readonly |static |abstract |override |async |get )*'
  return new RegExp(`^  (?:${modifiers}${member}\\b|\\| '${member}'|'?${member}'?,)`, 'm').test(body)
}

/** Names that a room's index.ts exports. */
export function roomExports(room: string): Set<string> {
  const names = new Set<string>()
  const collect = (path: string): void => {
    const text = readText(path)
    for (const [, list] of text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)) {
      for (const item of list!.split(',')) {
        const name = item
          .trim()
          .replace(/^type /, '')
          .replace(/^.* as /, '')
        if (name !== '') names.add(name)
      }
    }
    for (const [, name] of text.matchAll(
      /^export (?:abstract |async )*(?:function|class|const|interface|type) (\w+)/gm,
    )) {
      names.add(name!)
    }
    for (const [, from] of text.matchAll(/^export \* from '(.+)'/gm)) collect(join(dirname(path), from!))
  }
  collect(`src/${room}/index.ts`)
  return names
}
