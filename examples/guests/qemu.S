# Puts a guest on QEMU as a hypervisor would: OpenSBI sits at the top of memory, so that the guest may start at
# 0x80000000, and is told by a fw_dynamic_info where the guest is. Every hart starts here in M mode.
  .section .text.start, "ax"
  .globl _start
_start:
  csrr a0, mhartid
  la a1, _start
  li t0, 0x300000
  sub a1, a1, t0                  # the device tree lies 3 MiB below
  la a2, info
  la t0, _start
  li t1, 0x80000
  add t0, t0, t1                  # and OpenSBI 512 KiB above
  jr t0
  .balign 8
info:
  .dword 0x4942534f, 2            # magic "OSBI", version
  .dword 0x80000000, 1            # entry and mode (S) of the guest
  .dword 0, 0                     # options, boot hart
