/* The small runtime of the example guests: SBI calls, console, device tree arguments, harts. See runtime.h. */
#include "runtime.h"
#include <stdarg.h>

u64 boot_hart;
const u8 *device_tree;
static int has_debug_console;

struct sbiret sbi_call(u64 extension, u64 function, u64 arg0, u64 arg1, u64 arg2, u64 arg3, u64 arg4) {
  register u64 a0 __asm__("a0") = arg0;
  register u64 a1 __asm__("a1") = arg1;
  register u64 a2 __asm__("a2") = arg2;
  register u64 a3 __asm__("a3") = arg3;
  register u64 a4 __asm__("a4") = arg4;
  register u64 a6 __asm__("a6") = function;
  register u64 a7 __asm__("a7") = extension;
  __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
  return (struct sbiret){(long)a0, a1};
}

void runtime_init(u64 hart, const u8 *tree) {
  boot_hart = hart;
  device_tree = tree;
  has_debug_console = sbi_call(SBI_BASE, 3, SBI_DBCN, 0, 0, 0, 0).value != 0;
}

/* Memory is mapped one to one wherever the console is used, so an address is also a physical one. */
static void console_write(const char *text, u64 length) {
  if (!has_debug_console) {
    for (u64 i = 0; i < length; i++) sbi_call(1, 0, (u8)text[i], 0, 0, 0, 0); /* legacy putchar */
    return;
  }
  while (length > 0) {
    struct sbiret r = sbi_call(SBI_DBCN, 0, length, (u64)text, 0, 0, 0);
    if (r.error != 0) return;
    text += r.value;
    length -= r.value;
  }
}

static char line[256];
static u32 used;

static void put(char c) {
  line[used++] = c;
  if (c == '\n' || used == sizeof line) {
    console_write(line, used);
    used = 0;
  }
}

static void put_number(u64 value, u64 base) {
  char digits[20];
  int n = 0;
  do digits[n++] = "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  while (n > 0) put(digits[--n]);
}

void print(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  for (const char *p = format; *p; p++) {
    if (*p != '%') { put(*p); continue; }
    switch (*++p) {
    case 's': for (const char *s = va_arg(arguments, const char *); *s; s++) put(*s); break;
    case 'u': put_number(va_arg(arguments, u64), 10); break;
    case 'x': put_number(va_arg(arguments, u64), 16); break;
    default: put(*p);
    }
  }
  va_end(arguments);
}

void halt(u64 result) {
  if (used > 0) put('\n');
  sbi_call(SBI_SRST, 0, 0, result != 0, 0, 0, 0);
  for (;;) wfi();
}

int finish(const char *name, u64 errors) {
  print(errors == 0 ? "%s: pass\n" : "%s: FAIL, %u errors\n", name, errors);
  return errors != 0;
}

__attribute__((weak)) void trap(struct trap_frame *frame) {
  print("unexpected trap: scause %x sepc %x stval %x\n", frame->scause, frame->sepc, frame->stval);
  halt(1);
}

/* --- device tree (flattened, version 17) --- */

static u32 be32(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }

static const char *starts_with(const char *text, const char *prefix) {
  while (*prefix) if (*text++ != *prefix++) return 0;
  return text;
}

const u8 *fdt_property(const char *node, const char *property, u32 *length) {
  const u8 *p = device_tree + be32(device_tree + 8);
  const char *strings = (const char *)device_tree + be32(device_tree + 12);
  for (int inside = 0;;) {
    u32 token = be32(p);
    p += 4;
    if (token == 1) { /* FDT_BEGIN_NODE */
      inside = starts_with((const char *)p, node) != 0;
      while (*p++) {}
      p = (const u8 *)(((u64)p + 3) & ~3ul);
    } else if (token == 3) { /* FDT_PROP */
      const char *end = starts_with(strings + be32(p + 4), property);
      if (inside && end && *end == 0) {
        *length = be32(p);
        return p + 8;
      }
      p += 8 + ((be32(p) + 3) & ~3u);
    } else if (token == 9) { /* FDT_END */
      return 0;
    }
  }
}

u64 argument(const char *name, u64 otherwise) {
  u32 length;
  const char *text = (const char *)fdt_property("chosen", "bootargs", &length);
  if (!text) return otherwise;
  for (int at_word = 1; *text; at_word = *text++ == ' ') {
    const char *value = at_word ? starts_with(text, name) : 0;
    if (!value || *value++ != '=') continue;
    u64 number = 0;
    while (*value >= '0' && *value <= '9') number = number * 10 + (u64)(*value++ - '0');
    return number;
  }
  return otherwise;
}

/* --- harts --- */

static u8 stacks[MAX_HARTS][8192] __attribute__((aligned(16)));
static struct hart_start { u64 stack; void (*function)(u64); } starts[MAX_HARTS];
extern void hart_entry(void);

long start_hart(u64 id, void (*function)(u64)) {
  starts[id] = (struct hart_start){(u64)(stacks[id] + sizeof stacks[id]), function};
  return sbi_call(SBI_HSM, 0, id, (u64)hart_entry, (u64)&starts[id], 0, 0).error;
}

long suspend_hart(u32 type, void (*function)(u64)) {
  starts[boot_hart] = (struct hart_start){(u64)(stacks[boot_hart] + sizeof stacks[boot_hart]), function};
  return sbi_call(SBI_HSM, 3, type, (u64)hart_entry, (u64)&starts[boot_hart], 0, 0).error;
}

void stop_hart(void) {
  sbi_call(SBI_HSM, 1, 0, 0, 0, 0, 0);
  for (;;) wfi();
}

long hart_status(u64 id) {
  struct sbiret r = sbi_call(SBI_HSM, 2, id, 0, 0, 0, 0);
  return r.error ? r.error : (long)r.value;
}

void *memcpy(void *to, const void *from, u64 length) {
  for (u64 i = 0; i < length; i++) ((u8 *)to)[i] = ((const u8 *)from)[i];
  return to;
}

void *memset(void *to, int value, u64 length) {
  for (u64 i = 0; i < length; i++) ((u8 *)to)[i] = (u8)value;
  return to;
}
