/* timer: programs the SBI timer, and then its own (Sstc) if it has one, sleeps in wfi and counts the ticks; then lets
   the timer end a suspend of each kind.
   bootargs: ticks=<n> microseconds=<interval>. */
#include "runtime.h"

#define SIE_STIE (1ul << 5)
#define SSTATUS_SIE (1ul << 1)

static volatile u64 ticks;
static u64 early, deadline, interval;

/* Whether to use stimecmp, which is CSR 0x14d. */
static int own;

static void arm(u64 at) {
  deadline = at;
  if (own) csr_write(0x14d, at);
  else sbi_call(SBI_TIME, 0, at, 0, 0, 0, 0);
}

void trap(struct trap_frame *frame) {
  if (frame->scause != (1ul << 63 | 5)) {
    print("timer: unexpected trap %x\n", frame->scause);
    halt(1);
  }
  u64 now = csr_read(time);
  if (now < deadline) early++;
  ticks++;
  arm(now + interval);
}

static u64 errors;

static void after_suspend(u64 hart) {
  if (hart != boot_hart || csr_read(satp) != 0 || (csr_read(sstatus) & SSTATUS_SIE)) errors++;
  if (csr_read(time) < deadline) errors++;
  print("timer: suspended, and resumed elsewhere\n");
  halt(finish("timer", errors));
}

static int has_sstc(void) {
  u32 length;
  const u8 *isa = fdt_property("cpu@0", "riscv,isa", &length);
  for (u32 n = 0; isa && n + 4 <= length; n++)
    if (isa[n] == 's' && isa[n + 1] == 's' && isa[n + 2] == 't' && isa[n + 3] == 'c') return 1;
  return 0;
}

static void count(u64 wanted, const char *what) {
  u64 start = csr_read(time);
  ticks = 0;
  arm(start + interval);
  csr_write(sie, SIE_STIE);
  while (ticks < wanted) {
    /* wfi with interrupts off wakes all the same, so that no tick falls between the test and the sleep. */
    csr_clear(sstatus, SSTATUS_SIE);
    if (ticks < wanted) wfi();
    csr_set(sstatus, SSTATUS_SIE);
  }
  csr_clear(sstatus, SSTATUS_SIE);
  if (early || csr_read(time) - start < wanted * interval) errors++;
  arm(0);
  if (!(csr_read(sip) & SIE_STIE)) errors++; /* a deadline in the past is due at once */
  arm(~0ul);
  if (csr_read(sip) & SIE_STIE) errors++; /* a new deadline takes the pending interrupt away */
  print("timer: %u ticks%s, %u early\n", ticks, what, early);
}

int main(void) {
  u32 length;
  const u8 *p = fdt_property("cpus", "timebase-frequency", &length);
  u64 frequency = (u64)p[0] << 24 | (u64)p[1] << 16 | (u64)p[2] << 8 | p[3];
  u64 wanted = argument("ticks", 20);
  interval = frequency / 1000000 * argument("microseconds", 1000);
  count(wanted, "");
  own = has_sstc();
  if (own) count(wanted, " of its own timer");

  arm(csr_read(time) + interval);
  if (suspend_hart(0, 0) != 0 || csr_read(time) < deadline) errors++;
  print("timer: suspended, and resumed in place\n");
  arm(csr_read(time) + interval);
  suspend_hart(0x80000000, after_suspend);
  print("timer: the second suspend returned\n");
  return 1;
}
