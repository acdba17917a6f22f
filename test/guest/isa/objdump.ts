/** Disassembles words with binutils, one text per word. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isShort } from '../../../src/guest/index.ts'

const ARCHITECTURE = 'rv64gc_zba_zbb_zbs'
const PROGRAMS = ['riscv64-unknown-elf-objdump', 'riscv64-linux-gnu-objdump']

/** The objdump to use, undefined if there is none. */
export function findObjdump(): string | undefined {
  return PROGRAMS.find((program) => spawnSync(program, ['--version']).status === 0)
}

/** The words as objdump prints them with `-M no-aliases`, comments and symbols removed. Addresses start at 0. */
export function objdump(program: string, words: readonly number[]): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'umbra-objdump-'))
  try {
    const [source, object] = [join(directory, 'code.s'), join(directory, 'code.o')]
    // As data behind a label of code: the assembler does not look at it. The attribute says what may be there.
    const lines = words.map((word) => `${isShort(word) ? '.2byte' : '.4byte'} 0x${word.toString(16)}`)
    writeFileSync(source, [`.attribute arch, "${ARCHITECTURE}"`, ...lines, ''].join('\n'))
    execFileSync(program.replace(/objdump$/, 'as'), ['-o', object, source])
    execFileSync(program.replace(/objdump$/, 'strip'), [object])
    const text = execFileSync(program, ['-D', '-z', '-M', 'no-aliases', '-j', '.text', object], {
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
