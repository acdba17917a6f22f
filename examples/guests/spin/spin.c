/* spin: misbehaves. It spins for ever with interrupts off; only a budget ends it. */
#include "runtime.h"

int main(void) {
  print("spin: spinning\n");
  csr_clear(sstatus, 2);
  for (;;) __asm__ volatile("");
}
