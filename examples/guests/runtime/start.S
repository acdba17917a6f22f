# Entry points of a guest: the boot hart, the harts started later by SBI HSM, and the trap vector.
#
# The hypervisor enters the boot hart in S mode with a0 = hart id, a1 = device tree, satp = 0, interrupts off.
# While a hart is in S mode its sscratch is 0; while it is in U mode sscratch holds the stack to trap onto.

  .section .text.start, "ax"
  .globl _start
_start:
  la sp, boot_stack_end
  la t0, trap_entry
  csrw stvec, t0
  csrw sscratch, zero
  call runtime_init
  call main
  call halt                       # main's result: 0 is success

# a0 = hart id, a1 = the `struct hart_start` that start_hart() filled in
  .globl hart_entry
hart_entry:
  la t0, trap_entry
  csrw stvec, t0
  csrw sscratch, zero
  ld sp, 0(a1)
  ld t0, 8(a1)
  jalr t0
  call stop_hart

  .equ FRAME, 36 * 8
  .balign 4
  .globl trap_entry
trap_entry:
  csrrw sp, sscratch, sp
  bnez sp, 1f
  csrr sp, sscratch               # from S mode: go on with the same stack
1:
  addi sp, sp, -FRAME
  sd x1, 8(sp)
  .irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
  sd x\n, 8*\n(sp)
  .endr
  csrrw t0, sscratch, zero
  sd t0, 16(sp)
  csrr t0, sepc
  sd t0, 32*8(sp)
  csrr t0, sstatus
  sd t0, 33*8(sp)
  csrr t0, scause
  sd t0, 34*8(sp)
  csrr t0, stval
  sd t0, 35*8(sp)
  mv a0, sp
  call trap
  ld t0, 32*8(sp)
  csrw sepc, t0
  ld t0, 33*8(sp)
  csrw sstatus, t0
  andi t0, t0, 0x100              # SPP: back to S mode?
  bnez t0, 2f
  addi t0, sp, FRAME
  csrw sscratch, t0
2:
  ld x1, 8(sp)
  .irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
  ld x\n, 8*\n(sp)
  .endr
  ld sp, 16(sp)
  sret

  .bss
  .balign 16
boot_stack:
  .skip 16384
boot_stack_end:
