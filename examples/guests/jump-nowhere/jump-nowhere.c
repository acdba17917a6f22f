/* jump-nowhere: misbehaves. It jumps to address 0, where nothing is, with a trap vector that lies there as well,
   so that no instruction can ever run again. The hypervisor has to notice. */
#include "runtime.h"

int main(void) {
  print("jump-nowhere: jumping to 0\n");
  csr_write(stvec, 0);
  ((void (*)(void))0)();
  return 0;
}
