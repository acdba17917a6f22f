/**
 * Flat kernel images with the RISC-V Linux boot header (Documentation/arch/riscv/boot-image-header.rst), and the choice
 * between the formats a machine accepts.
 *
 * R1 Any damage is one clear KernelError ENOEXEC.
 */
import { KernelError, MiB, hex } from '../../base/index.ts'
import { isElf, parseElf } from './elf.ts'
import type { GuestProgram } from './elf.ts'
import { FileReader } from './reader.ts'

const IMAGE_HEADER_SIZE = 64
/** "RSC\x05", at offset 56. */
const IMAGE_MAGIC2 = 0x05435352
const FLAG_BIG_ENDIAN = 1

/** Where a machine has memory, in bytes. */
export interface MemoryRange {
  readonly start: number
  readonly length: number
}

/** True when the file carries the second magic number of the boot header. */
export function isImage(file: Uint8Array): boolean {
  return file.length >= IMAGE_HEADER_SIZE && new FileReader(file).u32(56, 'magic2') === IMAGE_MAGIC2
}

/**
 * Parses a flat image. It runs from its first byte, at `text_offset` above a 2 MiB boundary.
 * @param base start of memory
 * @throws KernelError ENOEXEC
 */
export function parseImage(file: Uint8Array, base: number): GuestProgram {
  const reader = new FileReader(file)
  reader.slice(0, IMAGE_HEADER_SIZE, 'the image header')
  if (!isImage(file)) throw new KernelError('ENOEXEC', "not a RISC-V Linux Image: no 'RSC\\x05' at offset 56")
  if (reader.u32(24, 'flags') & FLAG_BIG_ENDIAN) throw new KernelError('ENOEXEC', 'the image is big-endian')
  const textOffset = reader.u64(8, 'text_offset')
  const imageSize = reader.u64(16, 'image_size')
  if (imageSize < file.length) {
    throw new KernelError('ENOEXEC', `image_size is ${imageSize} but the file has ${file.length} bytes`)
  }
  const entry = Math.ceil(base / (2 * MiB)) * 2 * MiB + textOffset
  return { format: 'image', entry, segments: [{ gpa: entry, bytes: file, memorySize: imageSize }], symbols: [] }
}

/**
 * Checks that every segment lies in memory and that no two overlap.
 * @throws KernelError ENOEXEC
 */
export function checkPlacement(program: GuestProgram, memory: MemoryRange): void {
  const sorted = program.segments.toSorted((a, b) => a.gpa - b.gpa)
  let end = memory.start
  for (const { gpa, memorySize } of sorted) {
    const range = `the segment at ${hex(gpa)}..${hex(gpa + memorySize)}`
    if (gpa < memory.start || gpa + memorySize > memory.start + memory.length) {
      throw new KernelError(
        'ENOEXEC',
        `${range} lies outside memory at ${hex(memory.start)}..${hex(memory.start + memory.length)}: link it there, or give the machine more memory`,
      )
    }
    if (gpa < end) throw new KernelError('ENOEXEC', `${range} overlaps another segment, which ends at ${hex(end)}`)
    end = gpa + memorySize
  }
}

/**
 * Parses a guest program in either format and checks its placement.
 * @throws KernelError ENOEXEC
 */
export function parseProgram(file: Uint8Array, memory: MemoryRange): GuestProgram {
  if (!isElf(file) && !isImage(file)) {
    throw new KernelError('ENOEXEC', 'neither an ELF file nor a RISC-V Linux Image')
  }
  const program = isElf(file) ? parseElf(file, memory.start) : parseImage(file, memory.start)
  checkPlacement(program, memory)
  return program
}
