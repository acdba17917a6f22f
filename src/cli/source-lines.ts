/** Sites of the built code as lines of TypeScript, through the source maps beside it. */
import { readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import type { SourceMapPayload } from 'node:module'
import { posix } from 'node:path'

export class SourceLines {
  private readonly maps = new Map<string, SourceMap | null>()

  /** `src/mmu/vcpu.ts:120` of `src/mmu/vcpu.js:131:30`; the site itself where there is no map. */
  of(site: string): string {
    const [, file, line, column] = /^(.*):(\d+):(\d+)$/.exec(site) ?? []
    if (file === undefined) return site
    if (file.endsWith('.ts')) return `${file}:${line}`
    const map = this.mapOf(file)
    const origin = map?.findOrigin(Number(line), Number(column))
    if (origin === undefined || !('fileName' in origin)) return site
    // Sources are relative to the folder of the built file, which is one level deeper than the repository's own.
    const source = posix.join('build', posix.dirname(file), origin.fileName)
    return `${source}:${origin.lineNumber}`
  }

  private mapOf(file: string): SourceMap | null {
    let map = this.maps.get(file)
    if (map === undefined) this.maps.set(file, (map = load(file)))
    return map
  }
}

function load(file: string): SourceMap | null {
  const url = file.startsWith('file:') ? `${file}.map` : new URL(`../../${file}.map`, import.meta.url)
  try {
    return new SourceMap(JSON.parse(readFileSync(new URL(url), 'utf8')) as SourceMapPayload)
  } catch {
    return null
  }
}
