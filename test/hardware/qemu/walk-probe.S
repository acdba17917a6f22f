# Probes page tables from M-mode: for each record, sets up translation, makes one access, and writes down what happened.
#
#   riscv64-unknown-elf-gcc -march=rv64ima_zicsr -mabi=lp64 -nostdlib -nostartfiles -Ttext=0x80000000 walk-probe.S
#
# The words of the text section stand in walk-probe.ts; a test compares them where this compiler is installed.
#
# 0x80000000 this program          0x80200000 tables and data: all that S and U reach (PMP)
# 0x80100000 count, then records   0x80800000 end of that window
#
# A record of 128 bytes:
#   in   0 satp   8 vsatp   16 hgatp   24 address   32 mstatus   40 kind   48 value to store   56 hstatus   64 vsstatus
#   out  80 mcause, or -1   88 value loaded   96 mtval   104 mtval2
# Kinds: 0 lwu  1 sw (both with mstatus.MPRV)  2 mret to the address  3 hlv.wu  4 hsv.w
#
# An mret ends in a trap always: the words it may land on are illegal instructions, which mtval then holds.

    .option norvc
    .globl _start
_start:
    la    t0, trap
    csrw  mtvec, t0
    li    t0, 0x80200000 >> 2
    csrw  pmpaddr0, t0
    li    t0, 0x80800000 >> 2
    csrw  pmpaddr1, t0
    li    t0, 0x0f08              # below the window: no rights; the window: RWX; above: no entry, no rights
    csrw  pmpcfg0, t0
    csrw  medeleg, zero
    csrr  s3, mstatus
    li    t0, 0xe1800             # MPRV, SUM, MXR, MPP
    not   t0, t0
    and   s3, s3, t0              # mstatus between probes
    li    s0, 0x80100000
    ld    s1, 0(s0)
    j     advance

probe:
    addi  s1, s1, -1
    ld    t0, 0(s0)
    csrw  satp, t0
    ld    t0, 8(s0)
    csrw  vsatp, t0
    ld    t0, 16(s0)
    csrw  hgatp, t0
    ld    t0, 56(s0)
    csrw  hstatus, t0
    ld    t0, 64(s0)
    csrw  vsstatus, t0
    sfence.vma
    .insn r 0x73, 0, 0x31, x0, x0, x0     # hfence.gvma
    .insn r 0x73, 0, 0x11, x0, x0, x0     # hfence.vvma
    li    t0, -1
    sd    t0, 80(s0)
    ld    t0, 24(s0)
    ld    t1, 48(s0)
    ld    t2, 32(s0)
    ld    t3, 40(s0)
    or    t2, t2, s3
    li    t4, 0
    beqz  t3, load
    addi  t3, t3, -1
    beqz  t3, store
    addi  t3, t3, -1
    beqz  t3, fetch
    addi  t3, t3, -1
    beqz  t3, guest_load
    j     guest_store

load:
    csrw  mstatus, t2
    lwu   t4, 0(t0)
    j     record
store:
    csrw  mstatus, t2
    sw    t1, 0(t0)
    j     record
fetch:
    csrw  mepc, t0
    csrw  mstatus, t2
    mret
guest_load:
    csrw  mstatus, t2
    .insn r 0x73, 4, 0x34, t4, t0, x1     # hlv.wu  t4, (t0)
    j     record
guest_store:
    csrw  mstatus, t2
    .insn r 0x73, 4, 0x35, x0, t0, t1     # hsv.w   t1, (t0)

record:
    csrw  mstatus, s3
    sd    t4, 88(s0)
advance:
    addi  s0, s0, 128
    bnez  s1, probe
    li    t0, 0x100000            # the test device: power off
    li    t1, 0x5555
    sw    t1, 0(t0)
    j     .

    .align 2
trap:
    csrw  mstatus, s3
    csrr  t0, mcause
    sd    t0, 80(s0)
    csrr  t0, mtval
    sd    t0, 96(s0)
    csrr  t0, mtval2
    sd    t0, 104(s0)
    j     advance
