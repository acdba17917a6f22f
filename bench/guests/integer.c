/* Kernels of RV64IMAC: integers, calls, memory. */
#include "kernels.h"

/* Bit by bit over 4 KiB. */
static u64 crc32_bits(const u8 *data, u64 length, u32 crc) {
  for (u64 i = 0; i < length; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
  }
  return crc;
}

static u64 crc(u64 rounds) {
  u64 sum = 0;
  for (u64 i = 0; i < 4096; i++) arena[i] = (u8)(i * 7);
  for (u64 r = 0; r < rounds; r++) sum = crc32_bits(arena, 4096, (u32)sum);
  return sum;
}

static u64 sieve(u64 rounds) {
  u64 sum = 0;
  for (u64 r = 0; r < rounds; r++) {
    for (u64 i = 0; i < MiB / 8; i++) ((u64 *)arena)[i] = 0x0101010101010101ul;
    for (u64 i = 2; i * i < MiB; i++)
      if (arena[i])
        for (u64 j = i * i; j < MiB; j += i) arena[j] = 0;
    for (u64 i = 2 + r % 3; i < MiB; i++) sum += arena[i];
  }
  return sum;
}

#define SIDE 64
static u64 matrix(u64 rounds) {
  u32(*a)[SIDE] = (void *)arena, (*b)[SIDE] = a + SIDE, (*c)[SIDE] = b + SIDE;
  for (u32 i = 0; i < SIDE; i++)
    for (u32 j = 0; j < SIDE; j++) a[i][j] = i * 3 + j, b[i][j] = i ^ j;
  for (u64 r = 0; r < rounds; r++) {
    for (int i = 0; i < SIDE; i++)
      for (int j = 0; j < SIDE; j++) {
        u32 sum = 0;
        for (int k = 0; k < SIDE; k++) sum += a[i][k] * b[k][j];
        c[i][j] = sum;
      }
    a[r % SIDE][(r >> 6) % SIDE] += c[(r >> 3) % SIDE][r % SIDE];
  }
  u64 sum = 0;
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) sum = sum * 31 + c[i][j];
  return sum;
}

struct node { struct node *next; u64 key; };

static struct node *merge(struct node *a, struct node *b) {
  struct node head, *tail = &head;
  while (a && b) {
    struct node **least = a->key <= b->key ? &a : &b;
    tail = tail->next = *least;
    *least = (*least)->next;
  }
  tail->next = a ? a : b;
  return head.next;
}

static struct node *sort(struct node *list, u64 length) {
  if (length < 2) return list;
  struct node *middle = list;
  for (u64 i = 1; i < length / 2; i++) middle = middle->next;
  struct node *second = middle->next;
  middle->next = 0;
  return merge(sort(list, length / 2), sort(second, length - length / 2));
}

/* Walks of a list of 4,096 nodes in random places, and a merge sort of it. */
static u64 list(u64 rounds) {
  enum { NODES = 4096 };
  struct node *nodes = (struct node *)arena, *first = 0;
  u64 seed = 88172645463325252ul, sum = 0;
  for (u64 r = 0; r < rounds; r++) {
    first = 0;
    for (u64 i = 0; i < NODES; i++) {
      struct node *n = &nodes[i * 2654435761ul % NODES];
      *n = (struct node){first, xorshift(&seed) >> 20};
      first = n;
    }
    for (int walk = 0; walk < 50; walk++)
      for (struct node *n = first; n; n = n->next) sum += n->key ^ (u64)walk;
    first = sort(first, NODES);
    for (struct node *n = first; n; n = n->next) sum = sum * 5 + n->key;
  }
  return sum;
}

/* What a word of text is: the states of a small scanner. */
enum state { START, INTEGER, FRACTION, EXPONENT_SIGN, EXPONENT, HEX, IDENTIFIER, BAD };

static enum state step(enum state state, u8 c) {
  switch (state) {
  case START:
    if (c == '0') return HEX;
    if (c >= '1' && c <= '9') return INTEGER;
    return (c | 32) >= 'a' && (c | 32) <= 'z' ? IDENTIFIER : BAD;
  case INTEGER:
    if (c == '.') return FRACTION;
    if (c == 'e') return EXPONENT_SIGN;
    return c >= '0' && c <= '9' ? INTEGER : BAD;
  case FRACTION:
    if (c == 'e') return EXPONENT_SIGN;
    return c >= '0' && c <= '9' ? FRACTION : BAD;
  case EXPONENT_SIGN: return c == '-' || (c >= '0' && c <= '9') ? EXPONENT : BAD;
  case EXPONENT: return c >= '0' && c <= '9' ? EXPONENT : BAD;
  case HEX:
    if (c == '.') return FRACTION;
    return c == 'x' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ? HEX : BAD;
  case IDENTIFIER: return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '_' ? IDENTIFIER : BAD;
  default: return BAD;
  }
}

static u64 scan(const char *text, u64 *counts) {
  u64 hash = 5381;
  enum state state = START;
  for (; *text; text++) {
    hash = hash * 33 + (u8)*text;
    if (*text == ' ') {
      counts[state]++;
      state = START;
    } else {
      state = step(state, (u8)*text);
    }
  }
  counts[state]++;
  return hash;
}

static u64 text(u64 rounds) {
  static const char *const words[] = {"12", "0x1f", "3.25", "6e-7", "counter", "x9_b", "77.5e3", "9z", "0xfeed", "return"};
  u64 seed = 362436069, counts[8] = {0}, sum = 0;
  char *out = (char *)arena;
  for (int i = 0; i < 1000; i++) {
    for (const char *p = words[xorshift(&seed) % 10]; *p; p++) *out++ = *p;
    *out++ = ' ';
  }
  *out = 0;
  for (u64 r = 0; r < rounds; r++) {
    sum += scan((char *)arena, counts);
    arena[r % 4000] ^= r & 1;
    if (!arena[r % 4000]) arena[r % 4000] = 'a';
  }
  for (int i = 0; i < 8; i++) sum = sum * 7 + counts[i];
  return sum;
}

static u64 __attribute__((noinline)) fib(u64 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static u64 __attribute__((noinline)) takeuchi(u64 x, u64 y, u64 z) {
  return y >= x ? z : takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y));
}

static u64 calls(u64 rounds) {
  u64 sum = 0;
  for (u64 r = 0; r < rounds; r++) sum = sum * 3 + fib(18 + r % 3) + takeuchi(12 + r % 2, 8, 4);
  return sum;
}

/* Reads, changes and writes 32 MiB in order. */
static u64 stream(u64 rounds) {
  u64 *words = (u64 *)arena, sum = 0;
  for (u64 r = 0; r < rounds; r++) {
    for (u64 i = 0; i < ARENA_BYTES / 8; i++) words[i] += i + r;
    sum += words[r * 4099 % (ARENA_BYTES / 8)];
  }
  return sum;
}

/* Reads, changes and writes words of 32 MiB in random order. */
static u64 walk(u64 rounds) {
  u64 *words = (u64 *)arena, x = 1, sum = 0;
  for (u64 r = 0; r < rounds; r++)
    for (u64 i = 0; i < 100000; i++) {
      x = x * 6364136223846793005ul + 1442695040888963407ul;
      u64 *word = &words[x >> 42];
      sum += *word;
      *word = sum ^ x;
    }
  return sum;
}

static u64 muldiv(u64 rounds) {
  u64 a = 0x123456789abcdef, b = 0xfedcba9876543211, sum = 0;
  for (u64 r = 0; r < rounds; r++)
    for (u64 i = 1; i <= 1000; i++) {
      a = a * b + i;
      sum += (u64)((unsigned __int128)a * b >> 64);
      sum ^= a / (b >> 17 | 1);
      b = (b << 7 | b >> 57) + (u64)((long)a % (long)(i + 3));
      sum += (u32)a % (u32)(i * 5 + 1);
    }
  return sum ^ a ^ b;
}

/* A CoreMark-like mix of list, matrix, state machine and CRC, a little of each in turn. */
static u64 mix(u64 rounds) {
  u64 sum = 0;
  struct node *nodes = (struct node *)(arena + 4 * MiB);
  u64 counts[8] = {0};
  short(*m)[12] = (void *)(arena + 8 * MiB);
  char *line = (char *)arena + 12 * MiB;
  static const char sample[] = "5012 1.55 0x5f x_1 9e-1 874 -- T0.3e-1F 122 abc .5 0 ";
  for (u64 i = 0; i < sizeof sample; i++) line[i] = sample[i];
  for (u64 i = 0; i < 36; i++) m[i / 12][i % 12] = (short)i;
  for (u64 r = 0; r < rounds; r++) {
    struct node *first = 0;
    for (u64 i = 0; i < 60; i++) {
      nodes[i] = (struct node){first, (i * 37 + r) % 101};
      first = &nodes[i];
    }
    for (u64 wanted = 0; wanted < 8; wanted++)
      for (struct node *n = first; n; n = n->next)
        if (n->key == wanted + sum % 16) { sum += wanted; break; }
    first = sort(first, 60);
    u32 crc = (u32)sum;
    for (struct node *n = first; n; n = n->next) {
      crc ^= (u32)n->key;
      for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xa001u & -(crc & 1));
    }
    for (int i = 0; i < 12; i++)
      for (int j = 0; j < 12; j++) {
        int cell = 0;
        for (int k = 0; k < 12; k++) cell += m[i][k] * m[k][j];
        m[12 + i][j] = (short)(cell >> 2 & 0x7fff);
      }
    m[r % 12][r % 7] = (short)crc;
    sum += crc + scan(line, counts) + (u64)m[12 + r % 12][r % 12];
  }
  for (int i = 0; i < 8; i++) sum = sum * 7 + counts[i];
  return sum;
}

/* One load from each of some pages, a round; after it a fence, a call of the SBI, or a store to a device. */
static u64 touch(u64 rounds) {
  u64 pages = argument("pages", 512), sum = 0;
  u64 fence = argument("fence", 0), call = argument("call", 0), device = argument("device", 0);
  for (u64 r = 0; r < rounds; r++) {
    for (u64 i = 0; i < pages; i++) sum += *(volatile u64 *)(arena + i * PAGE + i * 8 % PAGE);
    if (fence) __asm__ volatile("sfence.vma" ::: "memory");
    if (call) sbi_call(0x10, 0, 0, 0, 0, 0, 0);
    if (device) *(volatile u32 *)device = (u32)r;
  }
  return sum;
}

u64 functions(u64 rounds), once(u64 rounds), copies(u64 rounds);

const struct kernel kernels[] = {
  {"crc", crc},         {"sieve", sieve},   {"matrix", matrix}, {"list", list},
  {"text", text},       {"calls", calls},   {"stream", stream}, {"walk", walk},
  {"muldiv", muldiv},   {"mix", mix},       {"functions", functions},
  {"once", once},       {"copies", copies}, {"touch", touch},
};
const u64 kernel_count = sizeof kernels / sizeof *kernels;
