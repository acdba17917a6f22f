/**
 * Load reservations of all harts of a machine. RISC-V unprivileged specification 20240411, section 13.2.
 *
 * R1 A reservation is a host physical address and a size: two guest addresses of one frame share it. An sc succeeds only
 *    with the address and size of its lr.
 * R2 A store by another hart into the naturally aligned doubleword ends it, as does every sc of its own hart.
 * R3 The end of a quantum does not end it: a hart may be stopped between lr and sc for ever so often.
 * R4 Whoever changes what a guest address names (a TLB flush) or writes a frame from the host side must end it.
 */

/** Bytes of the reservation set. */
export const RESERVATION_SET = 8

export class ReservationTable {
  /** Host physical address that each hart has reserved, or -1. */
  private readonly addresses: Float64Array
  private readonly sizes: Uint8Array
  /** How many are reserved: stores look no further while it is 0. */
  live = 0
  /** Changes whenever something is reserved. */
  version = 0

  constructor(harts: number) {
    this.addresses = new Float64Array(harts).fill(-1)
    this.sizes = new Uint8Array(harts)
  }

  reserve(hart: number, address: number, size: number): void {
    if (this.addresses[hart] === -1) this.live++
    this.version++
    this.addresses[hart] = address
    this.sizes[hart] = size
  }

  /** Ends the hart's reservation. */
  clear(hart: number): void {
    if (this.addresses[hart] === -1) return
    this.addresses[hart] = -1
    this.live--
  }

  /** What sc asks: is exactly this still reserved? The reservation ends either way. */
  consume(hart: number, address: number, size: number): boolean {
    const held = this.addresses[hart] === address && this.sizes[hart] === size
    this.clear(hart)
    return held
  }

  /** A store by `hart`, or by the host if -1: ends the reservations of all others that it touches. */
  store(hart: number, address: number, size: number): void {
    for (let other = 0; other < this.addresses.length; other++) {
      const reserved = this.addresses[other] as number
      if (reserved === -1 || other === hart) continue
      const set = reserved - (reserved % RESERVATION_SET)
      if (address < set + RESERVATION_SET && address + size > set) this.clear(other)
    }
  }

  /** Host physical address of the doubleword that the hart has reserved, or -1. */
  reservationSet(hart: number): number {
    const address = this.addresses[hart] as number
    return address === -1 ? -1 : address - (address % RESERVATION_SET)
  }

  /** True if a hart other than this one has a reservation that a store to these bytes may end. */
  othersReserve(hart: number, address: number, size: number): boolean {
    for (let other = 0; other < this.addresses.length; other++) {
      const set = this.reservationSet(other)
      if (other !== hart && set !== -1 && address < set + RESERVATION_SET && address + size > set) return true
    }
    return false
  }

  /** True if the hart holds a reservation. */
  holds(hart: number): boolean {
    return this.addresses[hart] !== -1
  }
}
