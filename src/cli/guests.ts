/** The example guests that come with Umbra, and guest files by name or path. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { MiB } from '../base/index.ts'
import { UsageError, didYouMean } from './options.ts'

export interface ExampleGuest {
  readonly name: string
  readonly summary: string
  /** Bytes of memory that it needs. */
  readonly memory: number
  /** Arguments that it reads, for help. */
  readonly bootargs: string
  /** It misbehaves on purpose. */
  readonly hostile: boolean
}

const guest = (name: string, summary: string, megabytes: number, bootargs = '', hostile = false): ExampleGuest => ({
  name,
  summary,
  memory: megabytes * MiB,
  bootargs,
  hostile,
})

export const EXAMPLE_GUESTS: readonly ExampleGuest[] = [
  guest('hello', 'the smallest guest: speaks through the SBI console and powers off', 2),
  guest('paging', 'builds Sv39 and Sv48 tables of its own, remaps under sfence.vma, takes every kind of page fault', 8),
  guest('patterns', 'fills memory with address-dependent values and verifies every word', 8, 'kib= rounds='),
  guest(
    'smp',
    'harts, spin lock, LR/SC and AMO counters, interrupts between harts, remote fences',
    4,
    'rounds= remaps=',
  ),
  guest('selfmod', 'rewrites its own code and runs it after fence.i', 2, 'rounds='),
  guest('timer', 'programs the SBI timer, sleeps in wfi and counts the ticks', 2, 'ticks= microseconds='),
  guest(
    'sort',
    'an allocator, quicksort and a hash table in C, with a working set to reclaim from',
    8,
    'count= rounds=',
  ),
  guest('float', 'double and single precision, rounding modes and flags, every digit as under QEMU', 2, 'steps='),
  guest('spin', 'spins for ever with interrupts off', 2, '', true),
  guest('jump-nowhere', 'jumps where nothing is, with a trap vector that lies there too', 2, '', true),
  guest('recursive-table', 'a root page table that points back to itself', 2, '', true),
  guest('wild-mmio', 'loads and stores where neither memory nor device is', 2, 'fetch=', true),
  guest('write-text', 'stores into its own read-only code', 4, '', true),
]

export const EXAMPLE_GUEST_NAMES: readonly string[] = EXAMPLE_GUESTS.map(({ name }) => name)

export interface GuestFile {
  readonly name: string
  readonly bytes: Uint8Array
  /** Set for the guests that come with Umbra. */
  readonly example: ExampleGuest | undefined
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
}

/**
 * The file of a guest.
 * @param nameOrPath an example guest's name, or the path of a file (anything with a slash or a dot)
 * @throws UsageError when there is none
 */
export function readGuest(nameOrPath: string): GuestFile {
  const example = EXAMPLE_GUESTS.find(({ name }) => name === nameOrPath)
  const path =
    example === undefined
      ? nameOrPath
      : fileURLToPath(new URL(`../../../examples/guests/prebuilt/${example.name}.elf`, import.meta.url))
  try {
    return {
      name: nameOrPath.replace(/^.*\//, '').replace(/\.elf$/, ''),
      bytes: new Uint8Array(readFileSync(path)),
      example,
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    if (code === 'ENOENT' && !/[./]/.test(nameOrPath)) {
      const hint = didYouMean(nameOrPath, EXAMPLE_GUEST_NAMES) ?? 'umbra list shows the guests that come with Umbra'
      throw new UsageError(`unknown guest '${nameOrPath}', and no file of that name`, hint)
    }
    throw new UsageError(`cannot read guest '${nameOrPath}': ${REASONS[code] ?? code}`)
  }
}
