/**
 * How a hart's observer sees the accesses of generated code: each is noted with the place that it goes to, before it is made.
 *
 * R1 The observer hears the same, in the same order, as from the reference interpreter: of a load what is there, of a store
 *    what is there afterwards, so that a store is told of when something else follows.
 * R2 The place must be the one that the hart's TLB names at that moment: a row of a fast TLB that leads elsewhere is found
 *    out at its first use.
 */
import { KernelBug, hex } from '../../base/index.ts'
import type { Gvn, Hpa } from '../../base/index.ts'
import type { Hart } from '../hart/index.ts'
import type { AccessSize } from '../isa/index.ts'
import type { Code } from './code.ts'
import type { HartArea } from './hart-area.ts'
import { Op, Type, type ValueType } from './opcodes.ts'

/** Kinds of accesses: the size, and these. */
export const NOTED_STORE = 16
/** Of an atomic: a load and a store. */
export const NOTED_BOTH = 48
const SIZE = 15
const LOADS_TOO = 32

/** Type of the function that is told: (low half of the address, high half, place, kind). */
export const NOTE_PARAMETERS: ValueType[] = [Type.i32, Type.i32, Type.i32, Type.i32]

const PAGES_PER_HIGH = 0x10_0000

/** Appends the call. @param note index of the function; @param address and place: locals, i64 and i32 */
export function pushNote(code: Code, note: number, address: number, place: number, kind: number): void {
  code.get(address)
  code.op(Op.i32WrapI64)
  code.get(address)
  code.i64(32)
  code.op(Op.i64ShrU)
  code.op(Op.i32WrapI64)
  code.get(place)
  code.i32(kind)
  code.call(note)
}

export class Observation {
  static readonly opaque = true
  private readonly hart: Hart
  private readonly area: HartArea
  /** The store that was noted last and has not been told of; size 0 for none. */
  private address = 0n
  private place = 0
  private size: AccessSize | 0 = 0

  constructor(hart: Hart, area: HartArea) {
    this.hart = hart
    this.area = area
  }

  /** What generated code calls. @throws KernelBug if the access goes to another place than the TLB says */
  note(low: number, high: number, place: number, kind: number): void {
    this.tell()
    this.area.settle()
    const { observer, memory } = this.hart
    if (observer === undefined) return
    const page = ((high >>> 0) * PAGES_PER_HIGH + (low >>> 12)) as Gvn
    const at = place >>> 0
    const stores = (kind & NOTED_STORE) !== 0
    const base = stores ? memory.translateWrite(page) : memory.translateRead(page)
    const address = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
    if (base + (low & 0xfff) !== at) {
      const truth = base < 0 ? 'it has no such page' : `the page is at ${hex(base)}`
      throw new KernelBug(
        `stale fast TLB: hart ${this.hart.id} ${stores ? 'stores to' : 'loads from'} gva ${hex(address)} at hpa ${hex(at)}, but its TLB says ${truth}`,
        'I1',
      )
    }
    const size = (kind & SIZE) as AccessSize
    if (!stores || (kind & LOADS_TOO) !== 0) observer.load(address, at, size, this.read(at, size))
    if (!stores) return
    this.address = address
    this.place = at
    this.size = size
  }

  /** Tells of the store that was noted last: it has been made. */
  tell(): void {
    const { address, place, size } = this
    if (size === 0) return
    this.size = 0
    this.hart.observer?.store(address, place, size, this.read(place, size))
  }

  private read(place: number, size: AccessSize): bigint {
    const { bytes } = this.hart.memory
    const at = place as Hpa
    if (size === 8) return BigInt.asUintN(64, bytes.read64(at))
    return BigInt(size === 4 ? bytes.read32(at) : size === 2 ? bytes.read16(at) : bytes.read8(at))
  }
}
