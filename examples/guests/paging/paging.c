/* paging: builds its own Sv39 (and Sv48, where the machine has it) tables in ordinary memory and lives under them:
   4 KiB, 2 MiB and 1 GiB leaves, remapping under sfence.vma, demand paging, every kind of page fault, A/D bits, U mode.
   A hypervisor with shadow page tables has to follow each of these changes. */
#include "runtime.h"

enum { V = 1, R = 2, W = 4, X = 8, U = 16, G = 32, A = 64, D = 128, RW = V | R | W | A | D };
enum { FETCH_FAULT = 12, LOAD_FAULT = 13, STORE_FAULT = 15, BREAKPOINT = 3, ECALL_FROM_U = 8 };
#define SUM (1ul << 18)
#define MXR (1ul << 19)
#define SPP (1ul << 8)

/* Windows of virtual addresses, far from the one-to-one mapping of RAM. */
#define SMALL 0x1000000000ul
#define DEMAND 0x1040000000ul
#define LARGE 0x1080000000ul
#define GIANT 0x10c0000000ul
#define LARGE_PA 0x80400000ul /* needs 6 MiB of RAM */

static u64 pool[24][512] __attribute__((aligned(4096)));
static u64 frames[64][512] __attribute__((aligned(4096)));
static u64 *root;
static u64 used, levels, errors, faults, checksum;

static u64 *pte_of(u64 va, u64 level) {
  u64 *table = root;
  for (u64 l = levels - 1; l > level; l--) {
    u64 *pte = &table[va >> (12 + 9 * l) & 511];
    if (!*pte) *pte = (u64)pool[used++] >> 2 | V;
    table = (u64 *)(*pte << 2 & ~0xffful);
  }
  return &table[va >> (12 + 9 * level) & 511];
}

static void map(u64 va, u64 pa, u64 level, u64 flags) { *pte_of(va, level) = flags ? pa >> 2 | flags : 0; }
static void sfence(u64 va) { __asm__ volatile("sfence.vma %0, zero" ::"r"(va) : "memory"); }
static void sfence_all(void) { __asm__ volatile("sfence.vma" ::: "memory"); }
static volatile u64 *at(u64 va) { return (volatile u64 *)va; }

static void expect(u64 got, u64 wanted, const char *what) {
  checksum = checksum * 31 + got;
  if (got == wanted) return;
  if (errors++ < 8) print("paging: %s: %x, expected %x\n", what, got, wanted);
}

/* --- traps: the next access is probed, or a demand fault is served, or U mode is entered and left --- */
static volatile u64 resume, cause, value, user_pc;

void trap(struct trap_frame *frame) {
  if (frame->scause == BREAKPOINT) { /* enter U mode with the registers as they are */
    frame->sepc = user_pc;
    frame->sstatus &= ~SPP;
    return;
  }
  if (frame->scause == ECALL_FROM_U) {
    frame->sepc = resume;
    frame->sstatus |= SPP;
    return;
  }
  u64 *pte = frame->stval >= SMALL && frame->stval < LARGE ? pte_of(frame->stval, 0) : 0;
  if (frame->scause != FETCH_FAULT && pte && *pte & V && (*pte & (A | D)) != (A | D) && *pte & W) {
    *pte |= A | D; /* a hart without hardware A/D update (Svade) */
    sfence(frame->stval);
  } else if (frame->stval - DEMAND < 64 * PAGE) {
    faults++;
    map(frame->stval, (u64)frames[(frame->stval - DEMAND) / PAGE], 0, RW);
    sfence(frame->stval);
  } else if (resume) {
    cause = frame->scause;
    value = frame->stval;
    frame->sepc = frame->scause == FETCH_FAULT ? frame->x[1] : resume;
  } else {
    print("paging: unexpected trap %x at %x, stval %x\n", frame->scause, frame->sepc, frame->stval);
    halt(1);
  }
}

/* Runs one access that may fault; gives its scause, 0 when it went through. */
#define PROBE(instruction, address)                                                                                  \
  ({                                                                                                                 \
    cause = 0;                                                                                                       \
    __asm__ volatile("la t0, 1f\n sd t0, %0\n" instruction "\n1:" : "=m"(resume) : "r"(address) : "t0", "t1", "ra", "memory"); \
    resume = 0;                                                                                                      \
    expect(cause ? value : (u64)(address), (u64)(address), "stval");                                                 \
    cause;                                                                                                           \
  })
#define LOAD(address) PROBE("ld t1, 0(%1)", address)
#define STORE(address) PROBE("sd zero, 0(%1)", address)
#define FETCH(address) PROBE("jalr %1", address)

static void remapping(void) {
  for (u64 i = 0; i < 64; i++) frames[i][0] = 0x1000 + i;
  for (u64 i = 0; i < 256; i++) {
    u64 page = i % 4, frame = i * 37 % 64;
    map(SMALL + page * PAGE, (u64)frames[frame], 0, RW);
    if (i % 8 == 7) sfence_all(); else sfence(SMALL + page * PAGE);
    expect(*at(SMALL + page * PAGE), frames[frame][0], "remapped page");
    *at(SMALL + page * PAGE) += 0x10000;
    expect(*at(SMALL + page * PAGE), frames[frame][0], "store to a remapped page");
  }
}

static void permissions(void) {
  static const u32 code[] = {0x00008067}; /* ret */
  u64 page = SMALL + 16 * PAGE;
  frames[0][0] = code[0];
  fence_i();
  struct { u64 flags, load, store, fetch; } cases[] = {
      {0, LOAD_FAULT, STORE_FAULT, FETCH_FAULT},
      {V | R | A | D, 0, STORE_FAULT, FETCH_FAULT},
      {V | R | X | A | D, 0, STORE_FAULT, 0},
      {V | X | A | D, LOAD_FAULT, STORE_FAULT, 0},
      {V | W | A | D, LOAD_FAULT, STORE_FAULT, FETCH_FAULT}, /* reserved: writable, not readable */
      {RW | U, LOAD_FAULT, STORE_FAULT, FETCH_FAULT},        /* a user page seen from S mode */
      {RW, 0, 0, FETCH_FAULT},
  };
  for (u64 i = 0; i < sizeof cases / sizeof *cases; i++) {
    map(page, (u64)frames[0], 0, cases[i].flags);
    sfence(page);
    expect(LOAD(page), cases[i].load, "load");
    expect(FETCH(page), cases[i].fetch, "fetch");
    expect(STORE(page + 8), cases[i].store, "store");
  }
  map(page, (u64)frames[0], 0, V | X | A | D);
  sfence(page);
  csr_set(sstatus, MXR);
  expect(LOAD(page), 0, "load of an executable page with MXR");
  csr_clear(sstatus, MXR);
  map(page, (u64)frames[0], 0, RW | U);
  sfence(page);
  csr_set(sstatus, SUM);
  expect(STORE(page + 8), 0, "store to a user page with SUM");
  csr_clear(sstatus, SUM);
  expect(LOAD(SMALL | 1ul << 60), LOAD_FAULT, "address that is not sign-extended");
  map(page, (u64)frames[1], 0, V | R | W);
  sfence(page);
  expect(STORE(page), 0, "store to a page with A and D clear");
  expect(*pte_of(page, 0) & (A | D), A | D, "A and D after a store");
}

static void superpages(void) {
  for (u64 i = 0; i < 512; i += 64) *at(LARGE_PA + i * PAGE) = 0x2000 + i;
  map(LARGE, LARGE_PA, 1, RW);
  map(GIANT, RAM_BASE & ~(512 * 512 * PAGE - 1), 2, RW);
  sfence_all();
  for (u64 i = 0; i < 512; i += 64) {
    expect(*at(LARGE + i * PAGE), 0x2000 + i, "2 MiB leaf");
    *at(LARGE + i * PAGE) += 1;
    expect(*at(GIANT + (LARGE_PA - RAM_BASE) + i * PAGE), 0x2001 + i, "1 GiB leaf");
  }
  *pte_of(LARGE, 1) = (LARGE_PA + PAGE) >> 2 | RW; /* misaligned superpage */
  sfence_all();
  expect(LOAD(LARGE), LOAD_FAULT, "misaligned 2 MiB leaf");
  map(LARGE, 0, 1, 0); /* split: 512 small pages, one of them elsewhere */
  for (u64 i = 0; i < 512; i++) map(LARGE + i * PAGE, i == 64 ? (u64)frames[5] : LARGE_PA + i * PAGE, 0, RW);
  sfence_all();
  expect(*at(LARGE), 0x2001, "split 2 MiB leaf");
  expect(*at(LARGE + 64 * PAGE), frames[5][0], "page of a split leaf");
}

static void user_mode(void) {
  static const u32 code[] = {0x00150513, 0x00000073}; /* addi a0, a0, 1; ecall */
  u64 page = SMALL + 32 * PAGE;
  for (u64 i = 0; i < 2; i++) ((u32 *)frames[2])[i] = code[i];
  fence_i();
  map(page, (u64)frames[2], 0, V | R | X | U | A | D);
  sfence(page);
  user_pc = page;
  register u64 a0 __asm__("a0") = 41;
  __asm__ volatile("la t0, 1f\n sd t0, %1\n ebreak\n1:" : "+r"(a0), "=m"(resume)::"t0", "memory");
  resume = 0;
  expect(a0, 42, "result of U mode");
}

static int live_under(u64 mode) {
  used = faults = checksum = 0;
  levels = mode == 8 ? 3 : 4;
  memset(pool, 0, sizeof pool);
  root = pool[used++];
  map(RAM_BASE, RAM_BASE, 2, V | R | W | X | G | A | D);
  u64 satp = mode << 60 | 7ul << 44 | (u64)root >> 12; /* ASID 7 */
  sfence_all();
  csr_write(satp, satp);
  if (csr_read(satp) >> 60 != mode) return 0;
  sfence_all();
  remapping();
  permissions();
  superpages();
  for (u64 i = 0; i < 64; i++) *at(DEMAND + i * 29 % 64 * PAGE + 8) = i;
  for (u64 i = 0; i < 64; i++) expect(frames[i * 29 % 64][1], i, "demand-paged store");
  expect(faults, 64, "demand faults");
  user_mode();
  csr_write(satp, 0);
  sfence_all();
  print("paging: Sv%u, %u tables, %u demand faults, checksum %x\n", mode == 8 ? 39ul : 48ul, used, faults, checksum);
  return 1;
}

int main(void) {
  if (!live_under(8)) errors++;
  if (!live_under(9)) print("paging: no Sv48\n");
  return finish("paging", errors);
}
