/* sort: an allocator, a quicksort and a chained hash table in plain C, with a working set of a few MiB that stays
   in use long enough for the host to reclaim pages from under it. bootargs: count=<elements> rounds=<n>. */
#include "runtime.h"

extern u8 _end[];

/* A bump allocator with one free list a size class of 16 bytes. */
static u8 *top;
static void *free_lists[16];

static void *allocate(u64 size) {
  u64 class = (size + 15) / 16;
  if (class < 16 && free_lists[class]) {
    void *block = free_lists[class];
    free_lists[class] = *(void **)block;
    return block;
  }
  void *block = top;
  top += class * 16;
  return block;
}

static void release(void *block, u64 size) {
  u64 class = (size + 15) / 16;
  *(void **)block = free_lists[class];
  free_lists[class] = block;
}

static u64 state;
static u64 next_random(void) { /* xorshift64 */
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static void quicksort(u64 *low, u64 *high) {
  while (low < high) {
    u64 pivot = low[(high - low) / 2], swap;
    u64 *i = low - 1, *j = high + 1;
    for (;;) {
      do i++; while (*i < pivot);
      do j--; while (*j > pivot);
      if (i >= j) break;
      swap = *i; *i = *j; *j = swap;
    }
    if (j - low < high - j) { quicksort(low, j); low = j + 1; }
    else { quicksort(j + 1, high); high = j; }
  }
}

struct node { struct node *next; u64 key, value; u64 padding[2]; };

int main(void) {
  u64 count = argument("count", 40000), rounds = argument("rounds", 1), errors = 0, checksum = 0;
  u64 buckets = 4096;
  top = (u8 *)(((u64)_end + PAGE - 1) & ~(PAGE - 1));
  state = 88172645463325252ul;
  u64 *numbers = allocate(count * 8);
  struct node **table = allocate(buckets * 8);
  for (u64 round = 0; round < rounds; round++) {
    for (u64 i = 0; i < count; i++) numbers[i] = next_random();
    for (u64 i = 0; i < buckets; i++) table[i] = 0;
    quicksort(numbers, numbers + count - 1);
    for (u64 i = 1; i < count; i++) if (numbers[i - 1] > numbers[i]) errors++;
    for (u64 i = 0; i < count; i++) { /* key -> rank */
      struct node *node = allocate(sizeof *node);
      struct node **bucket = &table[numbers[i] % buckets];
      *node = (struct node){*bucket, numbers[i], i, {~numbers[i], i}};
      *bucket = node;
    }
    for (u64 i = 0; i < count; i++) { /* every key is found, in an order that jumps about */
      u64 rank = i * 7919 % count, key = numbers[rank];
      struct node *node = table[key % buckets];
      while (node && node->key != key) node = node->next;
      if (!node || node->value != rank || node->padding[0] != ~key) errors++;
      checksum = checksum * 31 + (node ? node->value ^ node->key : 0);
    }
    for (u64 i = 0; i < buckets; i++)
      for (struct node *node = table[i], *next; node; node = next) {
        next = node->next;
        release(node, sizeof *node);
      }
  }
  print("sort: %u elements, %u rounds, %u KiB in use, checksum %x\n", count, rounds, (u64)(top - _end) / 1024, checksum);
  return finish("sort", errors);
}
