/*
 * The host's own floating point, as the C compiler makes it: reads requests on stdin, answers on stdout.
 * Request: operation, format, rounding mode, 0 (32-bit each, host order), then a, b, c (64 bits). Answer: result, flags.
 * Operations and rounding modes are numbered as native.ts does; flags are those of fcsr.
 */
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#pragma STDC FENV_ACCESS ON

struct request {
  uint32_t operation, format, mode, unused;
  uint64_t a, b, c;
};
struct answer {
  uint64_t result, flags;
};

static const int MODES[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};

static uint64_t flags(void) {
  int raised = fetestexcept(FE_ALL_EXCEPT);
  return (raised & FE_INEXACT ? 1 : 0) | (raised & FE_UNDERFLOW ? 2 : 0) | (raised & FE_OVERFLOW ? 4 : 0) |
         (raised & FE_DIVBYZERO ? 8 : 0) | (raised & FE_INVALID ? 16 : 0);
}

static double toDouble(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
static float toFloat(uint64_t bits) {
  uint32_t low = (uint32_t)bits;
  float value;
  memcpy(&value, &low, sizeof value);
  return value;
}
static uint64_t ofDouble(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
static uint64_t ofFloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static uint64_t inDouble(const struct request *r) {
  volatile double a = toDouble(r->a), b = toDouble(r->b), c = toDouble(r->c), x;
  volatile float narrow;
  volatile int64_t n;
  switch (r->operation) {
    case 0: x = a + b; return ofDouble(x);
    case 1: x = a - b; return ofDouble(x);
    case 2: x = a * b; return ofDouble(x);
    case 3: x = a / b; return ofDouble(x);
    case 4: x = sqrt(a); return ofDouble(x);
    case 5: x = fma(a, b, c); return ofDouble(x);
    case 6: return a == b;
    case 7: return a < b;
    case 8: return a <= b;
    case 9: n = lrint(a); return (uint64_t)n;
    case 10: x = (double)(int64_t)r->a; return ofDouble(x);
    case 11: x = (double)(int32_t)r->a; return ofDouble(x);
    default: narrow = toFloat(r->a); x = narrow; return ofDouble(x);
  }
}

static uint64_t inFloat(const struct request *r) {
  volatile float a = toFloat(r->a), b = toFloat(r->b), c = toFloat(r->c), x;
  volatile double wide;
  volatile int64_t n;
  switch (r->operation) {
    case 0: x = a + b; return ofFloat(x);
    case 1: x = a - b; return ofFloat(x);
    case 2: x = a * b; return ofFloat(x);
    case 3: x = a / b; return ofFloat(x);
    case 4: x = sqrtf(a); return ofFloat(x);
    case 5: x = fmaf(a, b, c); return ofFloat(x);
    case 6: return a == b;
    case 7: return a < b;
    case 8: return a <= b;
    case 9: n = lrintf(a); return (uint64_t)n;
    case 10: x = (float)(int64_t)r->a; return ofFloat(x);
    case 11: x = (float)(int32_t)r->a; return ofFloat(x);
    default: wide = toDouble(r->a); x = (float)wide; return ofFloat(x);
  }
}

int main(void) {
  static struct request requests[4096];
  static struct answer answers[4096];
  size_t count;
  while ((count = fread(requests, sizeof *requests, 4096, stdin)) > 0) {
    for (size_t i = 0; i < count; i++) {
      const struct request *r = &requests[i];
      fesetround(MODES[r->mode]);
      feclearexcept(FE_ALL_EXCEPT);
      answers[i].result = r->format == 0 ? inFloat(r) : inDouble(r);
      answers[i].flags = flags();
    }
    fwrite(answers, sizeof *answers, count, stdout);
  }
  return 0;
}
