/* recursive-table: misbehaves. Every entry of its root page table points back to the root, so that a walk never
   reaches a leaf; from then on neither code nor trap vector can be fetched. */
#include "runtime.h"

static u64 root[512] __attribute__((aligned(4096)));

int main(void) {
  for (u64 i = 0; i < 512; i++) root[i] = (u64)root >> 2 | 1;
  print("recursive-table: entering\n");
  csr_write(satp, 8ul << 60 | (u64)root >> 12);
  __asm__ volatile("sfence.vma" ::: "memory");
  return 0;
}
