/**
 * ELF files: 64-bit little-endian RISC-V executables, statically linked (System V gABI, chapters 4 and 5).
 *
 * R1 Any damage is one clear KernelError ENOEXEC; no file makes the loader throw anything else.
 * R2 Segments are placed by physical address (p_paddr), as a boot loader does; the entry, which is a virtual address,
 *    follows its segment.
 */
import { KernelError, hex } from '../../base/index.ts'
import { FileReader } from './reader.ts'

/** One piece of guest memory to fill: the bytes, then zeros up to `memorySize`. */
export interface Segment {
  /** Guest-physical address. */
  readonly gpa: number
  readonly bytes: Uint8Array
  /** Bytes in memory, at least `bytes.length`. */
  readonly memorySize: number
}

/** A function or object name, for the debugger. */
export interface GuestSymbol {
  readonly name: string
  readonly address: number
  readonly size: number
}

/** A program ready to be written into guest memory. */
export interface GuestProgram {
  readonly format: 'elf' | 'image'
  /** Guest-physical address of the first instruction. */
  readonly entry: number
  readonly segments: readonly Segment[]
  /** By address. */
  readonly symbols: readonly GuestSymbol[]
}

const ELF_HEADER_SIZE = 64
const PROGRAM_HEADER_SIZE = 56
const SECTION_HEADER_SIZE = 64
const SYMBOL_SIZE = 24
const ELFCLASS64 = 2
const ELFDATA2LSB = 1
const ET_EXEC = 2
const ET_DYN = 3
const EM_RISCV = 243
const PT_LOAD = 1
const PT_INTERP = 3
const SHT_SYMTAB = 2
const STT_OBJECT = 1
const STT_FUNC = 2
/** Characters of a symbol's name that are kept: a hostile string table must not cost quadratic time. */
const LONGEST_NAME = 256

/** True when the file starts with the ELF magic number. */
export function isElf(file: Uint8Array): boolean {
  return file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46
}

function refuse(message: string): never {
  throw new KernelError('ENOEXEC', message)
}

function checkHeader(reader: FileReader): void {
  const { bytes } = reader
  if (!isElf(bytes)) refuse(`not an ELF file: it does not start with 7f 45 4c 46 ('\\x7fELF')`)
  reader.slice(0, ELF_HEADER_SIZE, 'the ELF header')
  if (bytes[4] !== ELFCLASS64) refuse(`ELF class is ${bytes[4]}; expected 2 (64-bit): build for rv64`)
  if (bytes[5] !== ELFDATA2LSB) refuse(`ELF data encoding is ${bytes[5]}; expected 1 (little endian)`)
  const machine = reader.u16(18, 'e_machine')
  if (machine !== EM_RISCV) refuse(`ELF machine is ${machine}; expected ${EM_RISCV} (RISC-V)`)
  const type = reader.u16(16, 'e_type')
  if (type !== ET_EXEC && type !== ET_DYN) {
    refuse(`ELF type is ${type}; expected 2 (executable) or 3 (position independent): link it first`)
  }
  const entrySize = reader.u16(54, 'e_phentsize')
  if (entrySize !== PROGRAM_HEADER_SIZE) refuse(`ELF program headers of ${entrySize} bytes; expected 56`)
}

/**
 * Parses an executable.
 * @param file the whole file
 * @param bias is added to all addresses of a position-independent (ET_DYN) file, which relocates itself; default 0
 * @throws KernelError ENOEXEC
 */
export function parseElf(file: Uint8Array, bias = 0): GuestProgram {
  const reader = new FileReader(file)
  checkHeader(reader)
  const shift = reader.u16(16, 'e_type') === ET_DYN ? bias : 0
  const virtualEntry = reader.u64(24, 'the entry point')
  const table = reader.u64(32, 'e_phoff')
  const count = reader.u16(56, 'e_phnum')
  const segments: Segment[] = []
  let entry = -1
  for (let i = 0; i < count; i++) {
    const at = table + i * PROGRAM_HEADER_SIZE
    const what = `program header ${i}`
    reader.slice(at, PROGRAM_HEADER_SIZE, what)
    const type = reader.u32(at, what)
    if (type === PT_INTERP) refuse('the program is dynamically linked: link it with -static')
    if (type !== PT_LOAD) continue
    const virtual = reader.u64(at + 16, `p_vaddr of segment ${i}`)
    const gpa = reader.u64(at + 24, `p_paddr of segment ${i}`) + shift
    const fileSize = reader.u64(at + 32, `p_filesz of segment ${i}`)
    const memorySize = reader.u64(at + 40, `p_memsz of segment ${i}`)
    if (memorySize === 0) continue
    if (fileSize > memorySize) refuse(`segment ${i} has ${fileSize} bytes in the file but ${memorySize} in memory`)
    const bytes = reader.slice(reader.u64(at + 8, `p_offset of segment ${i}`), fileSize, `segment ${i}`)
    segments.push({ gpa, bytes, memorySize })
    if (virtualEntry >= virtual && virtualEntry < virtual + memorySize) entry = virtualEntry - virtual + gpa
  }
  if (segments.length === 0) refuse('the file has nothing to load: no PT_LOAD segment')
  if (entry < 0) refuse(`the entry point ${hex(virtualEntry)} lies in no loaded segment`)
  if (entry % 2 !== 0) refuse(`the entry point ${hex(entry)} is odd`)
  return { format: 'elf', entry, segments, symbols: parseSymbols(reader, shift) }
}

/** Function and object symbols by address; none when the file is stripped. */
function parseSymbols(reader: FileReader, shift: number): readonly GuestSymbol[] {
  const table = reader.u64(40, 'e_shoff')
  const count = reader.u16(60, 'e_shnum')
  if (table === 0 || count === 0) return []
  const symbols: GuestSymbol[] = []
  for (let i = 0; i < count; i++) {
    const at = table + i * SECTION_HEADER_SIZE
    const what = `section header ${i}`
    reader.slice(at, SECTION_HEADER_SIZE, what)
    if (reader.u32(at + 4, what) !== SHT_SYMTAB) continue
    const link = table + reader.u32(at + 40, what) * SECTION_HEADER_SIZE
    const strings = reader.u64(link + 24, 'sh_offset of the string table')
    const stringsEnd = strings + reader.u64(link + 32, 'sh_size of the string table')
    const offset = reader.u64(at + 24, 'sh_offset of the symbol table')
    const size = reader.u64(at + 32, 'sh_size of the symbol table')
    reader.slice(offset, size, 'the symbol table')
    for (let symbol = offset; symbol + SYMBOL_SIZE <= offset + size; symbol += SYMBOL_SIZE) {
      const type = reader.bytes[symbol + 4]! & 15
      if (type !== STT_FUNC && type !== STT_OBJECT) continue
      const start = strings + reader.u32(symbol, 'st_name')
      const name = reader.text(start, Math.min(stringsEnd, start + LONGEST_NAME))
      const address = reader.u64(symbol + 8, `the address of ${name}`) + shift
      symbols.push({ name, address, size: reader.u64(symbol + 16, `the size of ${name}`) })
    }
  }
  return symbols.toSorted((a, b) => a.address - b.address)
}
