/** Disassembles words with binutils, one text per word. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isShort } from '../../../src/guest/index.ts'

const PROGRAMS = ['riscv64-unknown-elf-objdump', 'riscv64-linux-gnu-objdump']

/** The objdump to use, undefined if there is none. */
export function findObjdump(): string | undefined {
  return PROGRAMS.find((program) => spawnSync(program, ['--version']).status === 0)
}

/** The words as objdump prints them with `-M no-aliases`, comments and symbols removed. Addresses start at 0. */
export function objdump(program: string, words: readonly number[]): string[] {
  const bytes: number[] = []
  for (const word of words) {
    bytes.push(word & 255, (word >>> 8) & 255)
    if (!isShort(word)) bytes.push((word >>> 16) & 255, word >>> 24)
  }
  const directory = mkdtempSync(join(tmpdir(), 'umbra-objdump-'))
  try {
    const path = join(directory, 'code')
    writeFileSync(path, new Uint8Array(bytes))
    const text = execFileSync(program, ['-D', '-z', '-b', 'binary', '-m', 'riscv:rv64', '-M', 'no-aliases', path], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    })
    return [...text.matchAll(/^ *[0-9a-f]+:\t[0-9a-f]+ +\t(.*)$/gm)].map((match) =>
      (match[1] as string)
        .replace(/\s*[#<].*/, '')
        .replace(/\s+/g, ' ')
        .trim(),
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
}
