/**
 * Positions of the TypeScript source, through the map that tsc writes beside each file.
 *
 * R1 Files are named relative to Umbra when they are its own, else to the working directory when they are in it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import type { SourceMapPayload } from 'node:module'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const packageRoot = fileURLToPath(new URL('../../../', import.meta.url))

export interface SourceFile {
  readonly file: string
  /** The position in the source of one in the file: line from 1, column from 0; null without a map. */
  readonly locate: (line: number, column: number) => { readonly line: number; readonly column: number } | null
}

/** The text of the map beside a file; empty without one. */
export function mapTextOf(path: string): string {
  return existsSync(`${path}.map`) ? readFileSync(`${path}.map`, 'utf8') : ''
}

/** The source that a file was made from, as reports name it. */
export function sourceOf(path: string, mapText: string = mapTextOf(path)): SourceFile {
  if (mapText === '') return { file: shortName(path), locate: () => null }
  const payload = JSON.parse(mapText) as SourceMapPayload
  const map = new SourceMap(payload)
  return {
    file: shortName(resolve(dirname(path), payload.sourceRoot ?? '', payload.sources[0] ?? path)),
    locate(line, column) {
      const found = map.findEntry(line - 1, column)
      return 'originalLine' in found ? { line: found.originalLine + 1, column: found.originalColumn } : null
    },
  }
}

function shortName(path: string): string {
  for (const root of [packageRoot, `${process.cwd()}/`]) if (path.startsWith(root)) return relative(root, path)
  return path
}
