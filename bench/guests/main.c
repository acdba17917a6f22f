/* Runs one kernel in S mode under Sv39 with 4 KiB pages. Boot arguments: kernel= (its number) and rounds=. */
#include "kernels.h"

#define RAM_BYTES (64 * MiB)
#define LEAVES (RAM_BYTES / PAGE)
/* V, R, W, X, A, D. */
#define LEAF 0xcful
#define TABLE 1ul

static u64 root[512] __attribute__((aligned(4096)));
static u64 middle[512] __attribute__((aligned(4096)));
static u64 leaves[LEAVES] __attribute__((aligned(4096)));
u8 arena[ARENA_BYTES] __attribute__((aligned(4096)));

static void paging_on(void) {
  for (u64 i = 0; i < LEAVES; i++) leaves[i] = (RAM_BASE + i * PAGE) >> 12 << 10 | LEAF;
  for (u64 i = 0; i < LEAVES / 512; i++) middle[i] = (u64)&leaves[512 * i] >> 12 << 10 | TABLE;
  root[RAM_BASE >> 30] = (u64)middle >> 12 << 10 | TABLE;
  /* Devices, as they lie. */
  root[0] = LEAF;
  csr_write(satp, 8ul << 60 | (u64)root >> 12);
  __asm__ volatile("sfence.vma" ::: "memory");
}

int main(void) {
  paging_on();
#ifdef __riscv_flen
  csr_set(sstatus, 1ul << 13); /* FS: initial */
#endif
  u64 number = argument("kernel", 0);
  if (number >= kernel_count) return 1;
  const struct kernel *kernel = &kernels[number];
  print("%s %x\n", kernel->name, kernel->run(argument("rounds", 1)));
  return 0;
}
