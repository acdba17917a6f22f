/* write-text: misbehaves. It maps its own code read-only and then stores into it: the store must fault and the code
   must stay what it was. */
#include "runtime.h"

extern u8 _text_end[];
static u64 root[512] __attribute__((aligned(4096)));
static u64 middle[512] __attribute__((aligned(4096)));
static u64 leaf[512] __attribute__((aligned(4096)));
static volatile u64 faults;

__attribute__((noinline)) static u64 victim(void) { return 7; }

void trap(struct trap_frame *frame) {
  if (frame->scause != 15 || frame->stval != (u64)victim) {
    print("write-text: unexpected trap %x, stval %x\n", frame->scause, frame->stval);
    halt(1);
  }
  faults++;
  frame->sepc += (*(u32 *)frame->sepc & 3) == 3 ? 4 : 2;
}

int main(void) {
  for (u64 i = 0; i < 512; i++) {
    u64 page = RAM_BASE + i * PAGE;
    leaf[i] = page >> 2 | (page < (u64)_text_end ? 0xcb : 0xc7); /* D A X R V, or D A W R V */
  }
  middle[0] = (u64)leaf >> 2 | 1;
  root[RAM_BASE >> 30] = (u64)middle >> 2 | 1;
  csr_write(satp, 8ul << 60 | (u64)root >> 12);
  __asm__ volatile("sfence.vma" ::: "memory");
  u32 before = *(volatile unsigned short *)victim;
  *(volatile unsigned short *)victim = 0;
  fence_i();
  u64 errors = faults != 1 || *(volatile unsigned short *)victim != before || victim() != 7;
  print("write-text: %u store refused\n", faults);
  return finish("write-text", errors);
}
