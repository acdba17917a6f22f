/**
 * Events of `src/guest`, and the memory accesses that harts and host tasks make.
 *
 * Names are those of KVM's tracepoints where there is one (include/trace/events/kvm.h, v6.12).
 */
export type GuestEvent =
  | {
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
  /** The tasks of a machine's harts were spawned. */
  | { readonly name: 'machine_start'; readonly vm: number; readonly machine: string; readonly harts: number }
  /** A machine stopped running: KVM_RUN returns to the VMM with this reason. */
  | {
      readonly name: 'kvm_userspace_exit'
      readonly vm: number
      readonly machine: string
      readonly reason: string
      readonly message: string
    }
  /** A guest access that no memory backs was carried out by a device. */
  | {
      readonly name: 'kvm_mmio'
      readonly vm: number
      readonly vcpu: number
      readonly type: 'read' | 'write'
      /** Bytes. */
      readonly len: number
      readonly gpa: number
      readonly device: string
    }
  /** An SBI call ended, with what it put into a0 and a1. */
  | {
      readonly name: 'kvm_riscv_sbi'
      readonly vm: number
      readonly vcpu: number
      readonly call: string
      readonly error: number
      readonly value: bigint
    }
  /** A hart that slept in wfi goes on, after so many virtual nanoseconds. */
  | { readonly name: 'kvm_vcpu_wakeup'; readonly vm: number; readonly vcpu: number; readonly waited: number }
