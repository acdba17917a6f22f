/* Kernels of RV64GC: double and single precision. */
#include "kernels.h"

struct body { double x, y, z, vx, vy, vz, mass; };

static u64 bits(double value) {
  u64 result;
  __asm__("fmv.x.d %0, %1" : "=r"(result) : "f"(value));
  return result;
}

static u64 nbody(u64 rounds) {
  enum { BODIES = 5 };
  struct body b[BODIES] = {
    {0, 0, 0, 0, 0, 0, 39.47},
    {4.84, -1.16, -0.10, 0.606, 2.81, -0.02, 0.037},
    {8.34, 4.12, -0.4, -1.01, 1.82, 0.008, 0.011},
    {12.89, -15.11, -0.22, 1.08, 0.868, -0.01, 0.0017},
    {15.37, -25.9, 0.179, 0.979, 0.594, -0.034, 0.002},
  };
  for (u64 r = 0; r < rounds; r++) {
    for (int i = 0; i < BODIES; i++)
      for (int j = i + 1; j < BODIES; j++) {
        double dx = b[i].x - b[j].x, dy = b[i].y - b[j].y, dz = b[i].z - b[j].z;
        double square = dx * dx + dy * dy + dz * dz;
        double step = 0.001 / (square * __builtin_sqrt(square));
        b[i].vx -= dx * b[j].mass * step, b[i].vy -= dy * b[j].mass * step, b[i].vz -= dz * b[j].mass * step;
        b[j].vx += dx * b[i].mass * step, b[j].vy += dy * b[i].mass * step, b[j].vz += dz * b[i].mass * step;
      }
    for (int i = 0; i < BODIES; i++)
      b[i].x += 0.001 * b[i].vx, b[i].y += 0.001 * b[i].vy, b[i].z += 0.001 * b[i].vz;
  }
  u64 sum = 0;
  for (int i = 0; i < BODIES; i++) sum = sum * 31 + bits(b[i].x) + bits(b[i].vy);
  return sum;
}

static u64 mandelbrot(u64 rounds) {
  u64 sum = 0;
  for (u64 r = 0; r < rounds; r++)
    for (int row = 0; row < 64; row++)
      for (int column = 0; column < 64; column++) {
        double cx = column * (2.5 / 64) - 2, cy = row * (2.0 / 64) - 1 + (double)(r % 7) * 1e-3, x = 0, y = 0;
        int steps = 0;
        for (; steps < 100 && x * x + y * y < 4; steps++) {
          double next = x * x - y * y + cx;
          y = 2 * x * y + cy;
          x = next;
        }
        sum = sum * 3 + (u64)steps;
      }
  return sum;
}

/* Single precision: a Horner scheme over an array, with conversions. */
static u64 horner(u64 rounds) {
  float *c = (float *)arena, sum = 0;
  for (int i = 0; i < 256; i++) c[i] = (float)(i % 17) / 16.0f - 0.5f;
  for (u64 r = 0; r < rounds; r++) {
    float x = (float)(r % 100) * 0.0099f, y = 0;
    for (int i = 0; i < 256; i++) y = y * x + c[i];
    sum += y;
    c[r % 256] = (float)(int)(y * 100) * 0.01f;
  }
  return bits((double)sum);
}

const struct kernel kernels[] = {{"nbody", nbody}, {"mandelbrot", mandelbrot}, {"horner", horner}};
const u64 kernel_count = sizeof kernels / sizeof *kernels;
