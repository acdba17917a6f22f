/* 1,500 different functions, called in rotation; and copies of their code, of which each is executed once. */
#include "kernels.h"

/* What a function does depends on its number: constants, the order of steps, branches, loads and stores. */
#define BODY(n)                                                                                                        \
  static __attribute__((noinline, section(".text.rotation"))) u64 f##n(u64 x, u64 *m) {                               \
    u64 y = x * (2 * 1##n + 1), z = x >> (1##n % 23 + 3);                                                              \
    for (int i = 0; i < 1##n % 2 + 2; i++) {                                                                           \
      y ^= m[(x ^ 1##n * 5) & 63];                                                                                     \
      if (1##n % 3 == 0) y += z << (1##n % 7), z ^= y;                                                                 \
      if (1##n % 3 == 1) z -= y | 1##n % 1009, y = y << 3 | y >> 61;                                                   \
      if (1##n % 3 == 2) y = (y & ~z) + 1##n % 977, z += y >> 9;                                                       \
      if (y & 1 << (1##n % 5)) x += 1##n; else z += x ^ 1##n % 31;                                                     \
      if (1##n % 5 == 2) m[(y + 1##n) & 63] += z;                                                                      \
      x = x * 5 + y;                                                                                                   \
    }                                                                                                                  \
    m[1##n % 64] = x ^ z;                                                                                              \
    return x + y;                                                                                                      \
  }
#define TEN(f, n) f(n##0) f(n##1) f(n##2) f(n##3) f(n##4) f(n##5) f(n##6) f(n##7) f(n##8) f(n##9)
#define HUNDRED(f, n) TEN(f, n##0) TEN(f, n##1) TEN(f, n##2) TEN(f, n##3) TEN(f, n##4) TEN(f, n##5) TEN(f, n##6) TEN(f, n##7) TEN(f, n##8) TEN(f, n##9)
#define ALL(f)                                                                                                         \
  HUNDRED(f, 00) HUNDRED(f, 01) HUNDRED(f, 02) HUNDRED(f, 03) HUNDRED(f, 04) HUNDRED(f, 05) HUNDRED(f, 06)             \
  HUNDRED(f, 07) HUNDRED(f, 08) HUNDRED(f, 09) HUNDRED(f, 10) HUNDRED(f, 11) HUNDRED(f, 12) HUNDRED(f, 13)             \
  HUNDRED(f, 14)

ALL(BODY)
#define NAME(n) f##n,
typedef u64 (*function)(u64, u64 *);
static function const table[] = {ALL(NAME)};
#define COUNT (sizeof table / sizeof *table)

u64 functions(u64 rounds) {
  u64 *m = (u64 *)arena, x = 1;
  for (u64 r = 0; r < rounds; r++)
    for (u64 i = 0; i < COUNT; i++) x = table[i](x, m);
  return x;
}

/* The code is position independent; the linker puts it between these. */
extern const u8 __start_rotation[], __stop_rotation[];

/* Copies the code to memory that was not executed before, and then calls every function there once. */
static u64 fresh(u64 rounds, int call) {
  u64 length = (u64)(__stop_rotation - __start_rotation), x = 1;
  u64 room = (length + PAGE - 1) & -PAGE, fit = (ARENA_BYTES - PAGE) / room;
  for (u64 r = 0; r < rounds; r++) {
    u8 *to = arena + PAGE + r % fit * room;
    for (u64 i = 0; i < length; i += 8) *(u64 *)(to + i) = *(u64 *)(__start_rotation + i);
    fence_i();
    if (!call) continue;
    for (u64 i = 0; i < COUNT; i++)
      x = ((function)((u64)table[i] - (u64)__start_rotation + (u64)to))(x, (u64 *)arena);
  }
  return x;
}

u64 once(u64 rounds) { return fresh(rounds, 1); }
/* What `once` does besides. */
u64 copies(u64 rounds) { return fresh(rounds, 0); }
