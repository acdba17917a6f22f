/* selfmod: rewrites its own code and runs it after fence.i, on this hart and, by a remote fence.i, on another one.
   bootargs: rounds=<n>. */
#include "runtime.h"

/* A page of code: addi a0, zero, <n>; addi a0, a0, 1; ret */
static volatile u32 code[1024] __attribute__((aligned(4096)));
static volatile u64 published, answered;
static u64 errors, rounds;

static u64 run(u64 entry) { return ((u64(*)(void))&code[entry])(); }

static void write_function(u64 entry, u64 n) {
  code[entry] = (u32)(n << 20) | 0x00000513;
  code[entry + 1] = 0x00150513;
  code[entry + 2] = 0x00008067;
}

static void helper(u64 hart) {
  (void)hart;
  for (u64 round = 1; round <= rounds; round++) {
    while (__atomic_load_n(&published, __ATOMIC_ACQUIRE) < round) pause();
    u64 result = run(512);
    __atomic_store_n(&answered, round << 16 | result, __ATOMIC_RELEASE);
  }
}

int main(void) {
  u64 checksum = 0;
  rounds = argument("rounds", 32);
  for (u64 round = 0; round < rounds * 8; round++) {
    u64 entry = round * 3 % 500, n = round * 53 % 2000;
    write_function(entry, n);
    fence_i();
    u64 result = run(entry);
    checksum = checksum * 31 + result;
    if (result != n + 1) errors++;
  }
  if (start_hart(1, helper) == 0)
    for (u64 round = 1; round <= rounds; round++) {
      u64 n = round * 61 % 2000;
      write_function(512, n);
      if (sbi_call(SBI_RFENCE, 0, 2, 0, 0, 0, 0).error) errors++;
      __atomic_store_n(&published, round, __ATOMIC_RELEASE);
      while (__atomic_load_n(&answered, __ATOMIC_ACQUIRE) >> 16 < round) pause();
      if ((answered & 0xffff) != n + 1) errors++;
    }
  print("selfmod: %u rounds, checksum %x\n", rounds, checksum);
  return finish("selfmod", errors);
}
