/**
 * The flattened device tree (Devicetree Specification v0.4, chapter 5; version 17, last compatible 16), and the tree
 * that a machine hands to its guest.
 *
 * R1 All integers are big-endian; properties come before subnodes; strings are stored once.
 */
import { KernelError, KiB, hex } from '../../base/index.ts'

/** `true` is an empty property; a number one 32-bit cell; an array of numbers, cells; strings end in zero bytes. */
export type PropertyValue = true | number | readonly number[] | string | readonly string[] | Uint8Array

export interface DeviceTreeNode {
  readonly name: string
  readonly properties: Readonly<Record<string, PropertyValue>>
  readonly children?: readonly DeviceTreeNode[]
}

const FDT_MAGIC = 0xd00dfeed
const FDT_BEGIN_NODE = 1
const FDT_END_NODE = 2
const FDT_PROP = 3
const FDT_END = 9
const HEADER_SIZE = 40
/** One empty entry ends the memory reservation block. */
const RESERVATIONS_SIZE = 16

/** A 64-bit number as two cells. */
export function cells64(value: number): readonly [number, number] {
  return [Math.floor(value / 2 ** 32), value % 2 ** 32]
}

class Writer {
  private bytes = new Uint8Array(4 * KiB)
  length = 0

  u32(value: number): void {
    this.grow(4)
    new DataView(this.bytes.buffer).setUint32(this.length, value)
    this.length += 4
  }

  raw(bytes: Uint8Array): void {
    this.grow(bytes.length)
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  /** Zeros up to a multiple of four bytes. */
  align(): void {
    const rest = -this.length & 3
    this.grow(rest)
    this.length += rest
  }

  finish(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }

  private grow(more: number): void {
    if (this.length + more <= this.bytes.length) return
    const bigger = new Uint8Array(2 * (this.length + more))
    bigger.set(this.bytes)
    this.bytes = bigger
  }
}

function zeroTerminated(texts: readonly string[]): Uint8Array {
  const text = texts.map((part) => `${part}\0`).join('')
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7e) throw new KernelError('EINVAL', `device tree text '${text}' has a character that is not ASCII`)
    bytes[i] = code
  }
  return bytes
}

function encode(value: PropertyValue): Uint8Array {
  if (value === true) return new Uint8Array(0)
  if (value instanceof Uint8Array) return value
  if (typeof value === 'string') return zeroTerminated([value])
  const list = typeof value === 'number' ? [value] : value
  const writer = new Writer()
  for (const item of list) {
    if (typeof item === 'string') writer.raw(zeroTerminated([item]))
    else writer.u32(item)
  }
  return writer.finish()
}

function writeNode(node: DeviceTreeNode, structure: Writer, strings: Map<string, number>, stringBytes: Writer): void {
  structure.u32(FDT_BEGIN_NODE)
  structure.raw(zeroTerminated([node.name]))
  structure.align()
  for (const [name, value] of Object.entries(node.properties)) {
    let offset = strings.get(name)
    if (offset === undefined) {
      offset = stringBytes.length
      strings.set(name, offset)
      stringBytes.raw(zeroTerminated([name]))
    }
    const bytes = encode(value)
    structure.u32(FDT_PROP)
    structure.u32(bytes.length)
    structure.u32(offset)
    structure.raw(bytes)
    structure.align()
  }
  for (const child of node.children ?? []) writeNode(child, structure, strings, stringBytes)
  structure.u32(FDT_END_NODE)
}

/**
 * The blob of a tree, to be placed at an 8-byte boundary.
 * @param bootCpu hart id of the hart that boots
 */
export function writeDeviceTree(root: DeviceTreeNode, bootCpu = 0): Uint8Array {
  const structure = new Writer()
  const stringBytes = new Writer()
  writeNode(root, structure, new Map(), stringBytes)
  structure.u32(FDT_END)
  const structureAt = HEADER_SIZE + RESERVATIONS_SIZE
  const stringsAt = structureAt + structure.length
  const blob = new Writer()
  blob.u32(FDT_MAGIC)
  blob.u32(stringsAt + stringBytes.length)
  blob.u32(structureAt)
  blob.u32(stringsAt)
  blob.u32(HEADER_SIZE)
  blob.u32(17)
  blob.u32(16)
  blob.u32(bootCpu)
  blob.u32(stringBytes.length)
  blob.u32(structure.length)
  blob.raw(new Uint8Array(RESERVATIONS_SIZE))
  blob.raw(structure.finish())
  blob.raw(stringBytes.finish())
  return blob.finish()
}

export interface UmbraDeviceTreeOptions {
  /** Number of harts, 1 to 64; their ids are 0 .. harts-1. */
  readonly harts: number
  /** Guest-physical range of memory, in bytes. */
  readonly memory: { readonly start: number; readonly length: number }
  /** Ticks a second of the `time` CSR. */
  readonly timebase: number
  /** Kernel command line. */
  readonly bootargs?: string
  /** Guest-physical range of an initial ramdisk. */
  readonly initrd?: { readonly start: number; readonly length: number }
  /** `riscv,isa` string. Default `rv64imafdc_zicsr_zifencei`. */
  readonly isa?: string
  /** Largest paging mode. Default `sv48`. */
  readonly mmuType?: 'sv39' | 'sv48' | 'sv57'
}

/**
 * The tree of an Umbra machine: harts, memory and the boot arguments. There is no interrupt controller beyond each
 * hart's own, and no device: console, timer and power are SBI calls.
 * @throws KernelError EINVAL
 */
export function umbraDeviceTree(options: UmbraDeviceTreeOptions): DeviceTreeNode {
  const { harts, memory, initrd } = options
  if (!Number.isInteger(harts) || harts < 1 || harts > 64) {
    throw new KernelError('EINVAL', `harts is ${harts}; expected 1 to 64`)
  }
  if (initrd && (initrd.start < memory.start || initrd.start + initrd.length > memory.start + memory.length)) {
    throw new KernelError('EINVAL', `the initial ramdisk at ${hex(initrd.start)} lies outside memory`)
  }
  const cpus: DeviceTreeNode[] = []
  for (let id = 0; id < harts; id++) {
    cpus.push({
      name: `cpu@${id.toString(16)}`,
      properties: {
        device_type: 'cpu',
        reg: id,
        status: 'okay',
        compatible: 'riscv',
        'riscv,isa': options.isa ?? 'rv64imafdc_zicsr_zifencei',
        'mmu-type': `riscv,${options.mmuType ?? 'sv48'}`,
      },
      children: [
        {
          name: 'interrupt-controller',
          properties: {
            '#address-cells': 0,
            '#interrupt-cells': 1,
            'interrupt-controller': true,
            compatible: 'riscv,cpu-intc',
            phandle: id + 1,
          },
        },
      ],
    })
  }
  const ramdisk: Record<string, PropertyValue> = initrd
    ? {
        'linux,initrd-start': cells64(initrd.start),
        'linux,initrd-end': cells64(initrd.start + initrd.length),
      }
    : {}
  return {
    name: '',
    properties: { '#address-cells': 2, '#size-cells': 2, compatible: 'umbra,virt', model: 'umbra,virt' },
    children: [
      { name: 'chosen', properties: { bootargs: options.bootargs ?? '', ...ramdisk } },
      {
        name: `memory@${memory.start.toString(16)}`,
        properties: { device_type: 'memory', reg: [...cells64(memory.start), ...cells64(memory.length)] },
      },
      {
        name: 'cpus',
        properties: { '#address-cells': 1, '#size-cells': 0, 'timebase-frequency': options.timebase },
        children: cpus,
      },
    ],
  }
}
