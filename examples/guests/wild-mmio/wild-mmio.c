/* wild-mmio: misbehaves. It loads and stores where no memory and no device is, counts the access faults it gets, and at
   last jumps there. bootargs: fetch=0 leaves the jump out. */
#include "runtime.h"

#define HOLE 0x18000000ul

static volatile u64 loads, stores;

void trap(struct trap_frame *frame) {
  if (frame->scause == 5) loads++;
  else if (frame->scause == 7) stores++;
  else {
    print("wild-mmio: unexpected trap %x\n", frame->scause);
    halt(1);
  }
  frame->sepc += (*(u32 *)frame->sepc & 3) == 3 ? 4 : 2;
}

int main(void) {
  for (u64 i = 0; i < 8; i++) {
    (void)*(volatile u64 *)(HOLE + i * 0x10008);
    *(volatile u32 *)(HOLE + i * 0x10008) = 1;
  }
  print("wild-mmio: %u load and %u store access faults\n", loads, stores);
  if (argument("fetch", 1)) ((void (*)(void))HOLE)();
  return finish("wild-mmio", loads != 8 || stores != 8);
}
