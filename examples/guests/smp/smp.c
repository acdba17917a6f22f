/* smp: starts every hart it can (HSM), then shares memory with them: a spin lock (LR/SC), AMO counters, inter-processor
   interrupts, and remote fences of every kind, checked by remapping a page that the other harts keep reading.
   bootargs: rounds=<increments of each kind> remaps=<n>. The output does not depend on the number of harts. */
#include "runtime.h"

#define SSIE 2ul
#define RW (1 | 2 | 4 | 64 | 128ul)
#define WINDOW 0x1000000000ul

static volatile u32 lock, arrived, generation;
static volatile u64 guarded, added, exchanged, bad_reads, pings[MAX_HARTS];
static volatile u64 remap_done, remap_seen[MAX_HARTS];
static u64 harts = 1, rounds, remaps, errors, satp;

static u64 root[512] __attribute__((aligned(4096)));
static u64 middle[512] __attribute__((aligned(4096)));
static u64 leaf[512] __attribute__((aligned(4096)));
static volatile u64 frames[2][512] __attribute__((aligned(4096)));

static void acquire(void) {
  u32 busy;
  for (;;) {
    __asm__ volatile("lr.w.aq %0, %1\n bnez %0, 1f\n sc.w.rl %0, %2, %1\n1:" : "=&r"(busy), "+A"(lock) : "r"(1) : "memory");
    if (!busy) return;
    pause();
  }
}

static void release(void) { __asm__ volatile("amoswap.w.rl zero, zero, %0" : "+A"(lock)::"memory"); }

static void barrier(void) {
  u32 mine = generation;
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == harts) {
    arrived = 0;
    __atomic_add_fetch(&generation, 1, __ATOMIC_RELEASE);
  }
  while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == mine) pause();
}

void trap(struct trap_frame *frame) {
  if (frame->scause != (1ul << 63 | 1)) {
    print("smp: unexpected trap %x at %x\n", frame->scause, frame->sepc);
    halt(1);
  }
  csr_clear(sip, SSIE);
  __asm__ volatile("amoadd.d zero, %1, %0" : "+A"(pings[frame->x[4]]) : "r"(1ul) : "memory"); /* tp = this hart's index */
}

static void count(void) {
  for (u64 i = 0; i < rounds; i++) {
    acquire();
    guarded = guarded + 1;
    release();
    u64 old;
    __asm__ volatile("amoadd.d zero, %1, %0" : "+A"(added) : "r"(3ul) : "memory");
    __asm__ volatile("1: lr.d %0, %1\n addi %0, %0, 1\n sc.d t0, %0, %1\n bnez t0, 1b" : "=&r"(old), "+A"(exchanged)::"t0", "memory");
  }
}

static void worker(u64 index) {
  __asm__ volatile("mv tp, %0" ::"r"(index));
  barrier();
  count();
  barrier();
  csr_set(sie, SSIE); /* pings: the boot hart sends them, the trap handler counts them */
  csr_set(sstatus, SSIE);
  barrier();
  while (pings[index] < 4) {
    csr_clear(sstatus, SSIE); /* wfi with interrupts off wakes all the same: no ping falls between test and sleep */
    if (pings[index] < 4) wfi();
    csr_set(sstatus, SSIE);
  }
  csr_clear(sstatus, SSIE);
  barrier();
  csr_write(satp, satp); /* remote fences: read the window all the time, under translation */
  __asm__ volatile("sfence.vma" ::: "memory");
  barrier();
  for (u64 seen = 0; seen < remaps;) {
    u64 done = __atomic_load_n(&remap_done, __ATOMIC_ACQUIRE);
    u64 value = *(volatile u64 *)WINDOW;
    /* Values only grow, so a value older than a finished remap is a stale translation. */
    if (value < done) __atomic_add_fetch(&bad_reads, 1, __ATOMIC_RELAXED);
    if (done == seen) pause();
    seen = remap_seen[index] = done;
  }
  csr_write(satp, 0);
  barrier();
}

/* Fences the window on all other harts in one of the ways that SBI offers. */
static long remote_fence(u64 kind) {
  switch (kind) {
  case 0: return sbi_call(SBI_RFENCE, 1, 0, ~0ul, WINDOW, PAGE, 0).error;
  case 1: return sbi_call(SBI_RFENCE, 1, 0, ~0ul, 0, 0, 0).error;
  case 2: return sbi_call(SBI_RFENCE, 1, ~0ul & ((1ul << harts) - 1), 0, 0, ~0ul, 0).error;
  case 3: return sbi_call(SBI_RFENCE, 2, 0, ~0ul, WINDOW, PAGE, 5).error;
  case 4: return sbi_call(SBI_RFENCE, 2, 0, ~0ul, 0, ~0ul, 5).error;
  default: return sbi_call(SBI_RFENCE, 1, 0, ~0ul, WINDOW - PAGE, 3 * PAGE, 0).error;
  }
}

static void expect(u64 got, u64 wanted, const char *what) {
  if (got == wanted) return;
  errors++;
  print("smp: %s: %u, expected %u\n", what, got, wanted);
}

int main(void) {
  rounds = argument("rounds", 500);
  remaps = argument("remaps", 24);
  root[RAM_BASE >> 30] = RAM_BASE >> 2 | RW | 8;
  root[WINDOW >> 30 & 511] = (u64)middle >> 2 | 1;
  middle[0] = (u64)leaf >> 2 | 1;
  leaf[0] = (u64)frames[0] >> 2 | RW;
  satp = 8ul << 60 | 5ul << 44 | (u64)root >> 12;
  /* hart_start numbers must be dense; the boot hart is 0 */
  expect((u64)start_hart(0, worker), (u64)-6, "start of a started hart"); /* SBI_ERR_ALREADY_AVAILABLE */
  u64 present = 1;
  while (present < MAX_HARTS && hart_status(present) == 1) present++;
  harts = present;
  for (u64 id = 1; id < harts; id++) expect((u64)start_hart(id, worker), 0, "hart start");
  if (start_hart(harts, worker) != -3) errors++; /* SBI_ERR_INVALID_PARAM */

  barrier();
  count();
  barrier();
  expect(guarded, rounds * harts, "counter under the lock");
  expect(added, 3 * rounds * harts, "AMO counter");
  expect(exchanged, rounds * harts, "LR/SC counter");

  barrier();
  for (u64 i = 1; i <= 4; i++)
    for (u64 id = 1; id < harts; id++) {
      expect((u64)sbi_call(SBI_IPI, 0, 1, id, 0, 0, 0).error, 0, "IPI");
      while (pings[id] < i) pause();
    }
  barrier();
  barrier();
  for (u64 i = 1; i <= remaps; i++) {
    frames[i % 2][0] = i;
    leaf[0] = (u64)frames[i % 2] >> 2 | RW;
    expect((u64)remote_fence(i % 6), 0, "remote fence");
    __atomic_store_n(&remap_done, i, __ATOMIC_RELEASE);
    for (u64 id = 1; id < harts; id++) while (remap_seen[id] < i) pause();
  }
  barrier();
  expect(bad_reads, 0, "reads through a stale translation");
  for (u64 id = 1; id < harts; id++) while (hart_status(id) != 1) pause(); /* STOPPED */
  print("smp: lock, AMO, LR/SC, IPI, %u remote fences\n", remaps);
  return finish("smp", errors);
}
