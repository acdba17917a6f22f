/* The bench guests' kernels: each takes how often to repeat itself and gives a checksum of what it computed. */
#pragma once
#include "runtime.h"

#define MiB (1024 * 1024ul)
/* Memory that the kernels share; which of them runs is chosen at boot. */
#define ARENA_BYTES (32 * MiB)
extern u8 arena[];

struct kernel { const char *name; u64 (*run)(u64 rounds); };
extern const struct kernel kernels[];
extern const u64 kernel_count;

static inline u64 xorshift(u64 *state) {
  u64 x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  return *state = x ^ x << 17;
}
