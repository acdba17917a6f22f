/**
 * Lowered text on disk, so that only the first command after a change pays for the pass.
 *
 * R1 The name of an entry is a hash of everything that its text depends on, the pass included.
 * R2 Where nothing can be written, nothing is kept.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const pass = new URL('../check/lower/', import.meta.url)
const folder = fileURLToPath(new URL('../../lowered/', import.meta.url))

export class LowerCache {
  private readonly pass: string

  constructor() {
    const hash = createHash('sha256')
    for (const name of readdirSync(pass).toSorted()) {
      if (name.endsWith('.js')) hash.update(readFileSync(new URL(name, pass)))
    }
    this.pass = hash.digest('hex')
  }

  /** The text of earlier, or what `make` gives. */
  async get(parts: readonly string[], make: () => Promise<string>): Promise<string> {
    const hash = createHash('sha256').update(this.pass)
    for (const part of parts) hash.update(`\0${part.length}\0${part}`)
    const entry = `${folder}${hash.digest('hex')}.js`
    try {
      return readFileSync(entry, 'utf8')
    } catch {
      const text = await make()
      this.keep(entry, text)
      return text
    }
  }

  private keep(entry: string, text: string): void {
    try {
      mkdirSync(folder, { recursive: true })
      // Whole or not at all: other processes read it.
      const unfinished = `${entry}.${process.pid}`
      writeFileSync(unfinished, text)
      renameSync(unfinished, entry)
    } catch {
      // An installed package may be read-only.
    }
  }
}
