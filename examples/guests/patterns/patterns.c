/* patterns: fills memory with values that depend on their address, and verifies every word, for many rounds.
   Any page that the hypervisor loses, mixes up or brings back stale shows as a wrong word.
   bootargs: kib=<size of the area> rounds=<n>. Checksum: sum of all words of all rounds. */
#include "runtime.h"

extern u8 _end[];

/* Cheap, and different for every address and round. */
static inline u64 pattern(u64 address, u64 round) { return (address ^ round << 48) * 0x9e3779b97f4a7c15ul; }

int main(void) {
  u64 *area = (u64 *)(((u64)_end + 0xffff) & ~0xfffful);
  u64 words = argument("kib", 2048) * 128;
  u64 rounds = argument("rounds", 3);
  u64 checksum = 0, errors = 0;
  for (u64 round = 1; round <= rounds; round++) {
    for (u64 i = 0; i < words; i++) area[i] = pattern(i * 8, round);
    for (u64 i = 0; i < words; i++) {
      u64 value = area[i];
      checksum += value;
      if (value == pattern(i * 8, round)) continue;
      if (errors++ < 4) print("patterns: round %u address %x is %x\n", round, (u64)&area[i], value);
    }
  }
  print("patterns: %u KiB, %u rounds, checksum %x\n", words / 128, rounds, checksum);
  return finish("patterns", errors);
}
