/* hello: the smallest guest. It enters S mode, speaks through the SBI console and powers off. */
#include "runtime.h"

int main(void) {
  u32 length;
  const u8 *memory = fdt_property("memory", "reg", &length);
  print("hello: a guest in S mode, %s\n", memory ? "with a device tree" : "without a device tree");
  return finish("hello", boot_hart != 0 || !memory);
}
