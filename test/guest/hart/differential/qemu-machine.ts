/**
 * A bare machine under qemu-system-riscv64 whose RAM is a file: written before the start, read after the end.
 *
 * The program at the start of RAM runs in M-mode and ends the machine by storing 0x5555 at `FINISHER`.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RAM } from './arena.ts'

export const RAM_BYTES: number = 64 << 20
export const FINISHER = 0x10_0000

const CPU = 'rv64,h=off,zba=on,zbb=on,zbc=off,zbs=on,sstc=off,pmu-num=0,Zihintpause=off,svadu=off'.split(',')

const QEMU = 'qemu-system-riscv64'
const QEMU_ARGUMENTS =
  '-M virt,memory-backend=ram -bios none -m 64M -smp 2 -nodefaults -display none -serial none -monitor none'.split(' ')

/** @returns undefined if QEMU can be used, else why not */
export function qemuMissing(): string | undefined {
  const found = spawnSync(QEMU, ['--version'])
  return found.error === undefined && found.status === 0 ? undefined : 'qemu-system-riscv64 is not installed'
}

/** Options that this version of QEMU knows. */
function cpuModel(): string {
  const help = spawnSync(QEMU, ['-device', 'rv64-riscv-cpu,help'], { encoding: 'utf8' }).stdout
  const known = new Set([...help.matchAll(/^ {2}([\w-]+)=/gm)].map((match) => match[1]))
  return CPU.filter((option) => option === 'rv64' || known.has(option.split('=')[0])).join(',')
}

/** Bytes at an address. */
export interface Piece {
  readonly at: number
  readonly bytes: Uint8Array
}

/**
 * Runs a machine to its end.
 * @param image what RAM holds at the start; @param answer filled with what is there at the end
 * @throws Error if QEMU fails
 */
export function runImage(image: readonly Piece[], answer: Piece): void {
  const directory = mkdtempSync(join(tmpdir(), 'umbra-qemu-'))
  try {
    const path = join(directory, 'ram')
    const file = openSync(path, 'w+')
    ftruncateSync(file, RAM_BYTES)
    for (const { at, bytes } of image) writeSync(file, bytes, 0, undefined, at - RAM)
    const backend = `memory-backend-file,id=ram,size=${RAM_BYTES},mem-path=${path},share=on`
    const run = spawnSync(QEMU, [...QEMU_ARGUMENTS, '-cpu', cpuModel(), '-object', backend], {
      encoding: 'utf8',
      timeout: 300_000,
    })
    if (run.status !== 0) throw new Error(`QEMU ended with ${run.status ?? run.signal}: ${run.stderr}`)
    readSync(file, answer.bytes, 0, answer.bytes.length, answer.at - RAM)
    closeSync(file)
  } finally {
    rmSync(directory, { recursive: true })
  }
}
