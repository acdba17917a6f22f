/** Events of `src/guest`, and the memory accesses that harts and host tasks make. */
export type GuestEvent = {
  /** A load: `hva` names the byte in the address space `mm`; `vcpu` is -1 for a host task. */
  readonly name: 'mem_load' | 'mem_store'
  readonly mm: number
  readonly vcpu: number
  readonly hva: number
  /** Bytes: 1, 2, 4 or 8. */
  readonly size: number
  readonly value: bigint
  readonly hpa: number
}
