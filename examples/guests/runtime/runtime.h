/* The small runtime of the example guests: SBI calls, console, device tree arguments, traps, harts. */
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

#define RAM_BASE 0x80000000ul
#define PAGE 4096ul
#define MAX_HARTS 8

#define csr_read(name) ({ u64 v_; __asm__ volatile("csrr %0, " #name : "=r"(v_)::"memory"); v_; })
#define csr_write(name, value) __asm__ volatile("csrw " #name ", %0" ::"r"((u64)(value)) : "memory")
#define csr_set(name, value) __asm__ volatile("csrs " #name ", %0" ::"r"((u64)(value)) : "memory")
#define csr_clear(name, value) __asm__ volatile("csrc " #name ", %0" ::"r"((u64)(value)) : "memory")
#define fence_i() __asm__ volatile("fence.i" ::: "memory")
#define wfi() __asm__ volatile("wfi" ::: "memory")
/* Zihintpause: tells the hypervisor that this hart waits for another one. */
#define pause() __asm__ volatile(".4byte 0x0100000f" ::: "memory")

/* SBI v2.0 extension ids. */
enum {
  SBI_BASE = 0x10,
  SBI_TIME = 0x54494d45,
  SBI_IPI = 0x735049,
  SBI_RFENCE = 0x52464e43,
  SBI_HSM = 0x48534d,
  SBI_SRST = 0x53525354,
  SBI_DBCN = 0x4442434e,
};

struct sbiret { long error; u64 value; };
struct sbiret sbi_call(u64 extension, u64 function, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4);

/* What the trap vector saved; the handler may change it, sepc above all. */
struct trap_frame { u64 x[32], sepc, sstatus, scause, stval; };

/* A guest that expects traps defines this; otherwise a trap ends the guest with a message. */
void trap(struct trap_frame *frame);

/* Hart id of the boot hart, and the device tree as the hypervisor passed it. */
extern u64 boot_hart;
extern const u8 *device_tree;

/* Prints %s, %u (decimal), %x (hex) of 64-bit arguments; every line goes out at its newline. */
void print(const char *format, ...);
/* Powers the machine off: 0 is success, anything else is reported as a failure. */
void halt(u64 result) __attribute__((noreturn));
/* Prints "name: pass" or "name: FAIL" and gives main's result. */
int finish(const char *name, u64 errors);
/* Big-endian property of the first node whose name starts with `node`; 0 when there is none. */
const u8 *fdt_property(const char *node, const char *property, u32 *length);
/* The number after "name=" in /chosen bootargs, or `otherwise`. */
u64 argument(const char *name, u64 otherwise);

/* Starts hart `id` at `function` with a stack of its own; gives the SBI error. */
long start_hart(u64 id, void (*function)(u64 hart));
/* HSM suspend: type 0 keeps the hart's state and returns; type 0x80000000 goes on at `function` with a fresh stack. */
long suspend_hart(u32 type, void (*function)(u64 hart));
void stop_hart(void) __attribute__((noreturn));
long hart_status(u64 id);

void *memcpy(void *to, const void *from, u64 length);
void *memset(void *to, int value, u64 length);
