/**
 * Devices at guest-physical addresses that no memslot covers: what a VMM does on KVM_EXIT_MMIO.
 *
 * R1 A device is called between two instructions of the hart and outside guest mode; it may sleep.
 * R2 Where no device is, a load or store is an access fault for the guest, as on a bus that answers with an error, and a
 *    fetch ends the machine (KVM_EXIT_INTERNAL_ERROR: an instruction cannot be fetched from a device).
 * R3 Atomics, and accesses that run over a page, are access faults too.
 */
import { KernelError, hex } from '../../base/index.ts'

/** Registers at [base, base + length). Sizes are 1, 2, 4 or 8 bytes; values are unsigned. */
export interface MmioDevice {
  readonly name: string
  readonly base: number
  readonly length: number
  load(offset: number, size: number): bigint | Promise<bigint>
  store(offset: number, size: number, value: bigint): void | Promise<void>
}

export class MmioBus {
  private readonly devices: readonly MmioDevice[]

  /** @throws KernelError EEXIST when two devices overlap each other or memory */
  constructor(devices: readonly MmioDevice[], memory: { readonly start: number; readonly length: number }) {
    const taken = [{ name: 'memory', base: memory.start, length: memory.length }]
    for (const device of devices) {
      for (const { name, base, length } of taken) {
        if (device.base < base + length && base < device.base + device.length) {
          throw new KernelError(
            'EEXIST',
            `device ${device.name} at ${hex(device.base)} overlaps ${name} at ${hex(base)}`,
          )
        }
      }
      taken.push(device)
    }
    this.devices = devices
  }

  /** The device that holds all bytes of an access, or null. */
  find(gpa: number, size: number): MmioDevice | null {
    for (const device of this.devices) {
      if (gpa >= device.base && gpa + size <= device.base + device.length) return device
    }
    return null
  }
}
