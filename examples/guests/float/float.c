/* float: the planets in double precision, the Mandelbrot set in single, and a sum between two rounding modes.
   Every digit is the same on every machine that computes as IEEE 754 says. bootargs: steps=<n>. */
#include "runtime.h"

#define FS_INITIAL (1ul << 13)
enum { NEAREST, TO_ZERO, DOWN, UP };
enum { INEXACT = 1, UNDERFLOW = 2, OVERFLOW = 4, DIVIDE_BY_ZERO = 8, INVALID = 16 };

static u64 bits(double value) {
  u64 result;
  __asm__("fmv.x.d %0, %1" : "=r"(result) : "f"(value));
  return result;
}

/* A number with six decimals. */
static void show(const char *name, double value) {
  char digits[32], *p = digits + sizeof digits;
  u64 micro = (u64)(__builtin_fabs(value) * 1e6 + 0.5);
  *--p = 0;
  for (int n = 0; n < 7 || micro; n++, micro /= 10) {
    if (n == 6) *--p = '.';
    *--p = '0' + micro % 10;
  }
  print("%s %s%s (%x)\n", name, value < 0 ? "-" : "", p, bits(value));
}

/* The sun and its four giants: years, astronomical units, 4 pi^2 the mass of the sun. */
struct body { const char *name; double x, y, z, vx, vy, vz, mass; };
#define SUN 39.47841760435743
#define YEAR 365.24
static struct body bodies[] = {
  {"sun", 0, 0, 0, 0, 0, 0, SUN},
  {"jupiter", 4.84143144246472090, -1.16032004402742839, -0.103622044471123109, 0.00166007664274403694 * YEAR,
   0.00769901118419740425 * YEAR, -0.0000690460016972063023 * YEAR, 0.000954791938424326609 * SUN},
  {"saturn", 8.34336671824457987, 4.12479856412430479, -0.403523417114321381, -0.00276742510726411120 * YEAR,
   0.00499852801234917238 * YEAR, 0.0000230417297573763929 * YEAR, 0.000285885980666130812 * SUN},
  {"uranus", 12.8943695621391310, -15.1111514016986312, -0.223307578892655734, 0.00296460137564761618 * YEAR,
   0.00237847173959480950 * YEAR, -0.0000296589568540237556 * YEAR, 0.0000436624404335156298 * SUN},
  {"neptune", 15.3796971148509165, -25.9193146099879641, 0.179258772950371181, 0.00268067772490389322 * YEAR,
   0.00162824170038242295 * YEAR, -0.0000951592254519715870 * YEAR, 0.0000515138902046611451 * SUN},
};
enum { BODIES = sizeof bodies / sizeof *bodies };

static double energy(void) {
  double sum = 0;
  for (struct body *a = bodies; a < bodies + BODIES; a++) {
    sum += 0.5 * a->mass * (a->vx * a->vx + a->vy * a->vy + a->vz * a->vz);
    for (struct body *b = a + 1; b < bodies + BODIES; b++) {
      double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
      sum -= a->mass * b->mass / __builtin_sqrt(dx * dx + dy * dy + dz * dz);
    }
  }
  return sum;
}

static void step(double dt) {
  for (struct body *a = bodies; a < bodies + BODIES; a++)
    for (struct body *b = a + 1; b < bodies + BODIES; b++) {
      double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
      double square = dx * dx + dy * dy + dz * dz;
      double pull = dt / (square * __builtin_sqrt(square));
      a->vx -= dx * b->mass * pull, a->vy -= dy * b->mass * pull, a->vz -= dz * b->mass * pull;
      b->vx += dx * a->mass * pull, b->vy += dy * a->mass * pull, b->vz += dz * a->mass * pull;
    }
  for (struct body *a = bodies; a < bodies + BODIES; a++) a->x += dt * a->vx, a->y += dt * a->vy, a->z += dt * a->vz;
}

static u64 planets(u64 steps) {
  double px = 0, py = 0, pz = 0, before;
  for (struct body *b = bodies; b < bodies + BODIES; b++) px += b->vx * b->mass, py += b->vy * b->mass, pz += b->vz * b->mass;
  bodies->vx = -px / SUN, bodies->vy = -py / SUN, bodies->vz = -pz / SUN;
  before = energy();
  show("energy", before);
  for (u64 n = 0; n < steps; n++) step(0.01);
  show("energy", energy());
  for (struct body *b = bodies; b < bodies + BODIES; b++) show(b->name, b->x);
  return __builtin_fabs(energy() - before) > 1e-4;
}

static void mandelbrot(void) {
  for (int row = 0; row < 11; row++) {
    char line[53];
    for (int column = 0; column < 52; column++) {
      float cx = (float)column * 0.06f - 2.25f, cy = (float)row * 0.24f - 1.2f, x = 0, y = 0;
      int n = 0;
      for (; n < 60 && x * x + y * y < 4; n++) {
        float next = x * x - y * y + cx;
        y = 2 * x * y + cy;
        x = next;
      }
      line[column] = ".,:-=+*#%@"[n == 60 ? 9 : n / 3 < 8 ? n / 3 : 8];
    }
    line[52] = 0;
    print("%s\n", line);
  }
}

/* The harmonic sum, every operation rounded one way. */
static double harmonic(u64 mode) {
  volatile double sum = 0;
  csr_write(frm, mode);
  for (int n = 1; n <= 1000; n++) sum += 1.0 / (double)n;
  csr_write(frm, NEAREST);
  return sum;
}

static u64 flags_of(double a, double b) {
  volatile double x = a, y = b, result;
  csr_write(fflags, 0);
  result = x / y;
  (void)result;
  return csr_read(fflags);
}

static __attribute__((noinline)) u64 run(void) {
  u64 errors = planets(argument("steps", 1000));
  mandelbrot();
  double low = harmonic(DOWN), high = harmonic(UP), nearest = harmonic(NEAREST);
  show("at least", low);
  show("at most", high);
  errors += !(low < nearest && nearest < high && harmonic(TO_ZERO) == low);
  errors += flags_of(6, 3) != 0;
  errors += flags_of(1, 3) != INEXACT;
  errors += flags_of(1, 0) != DIVIDE_BY_ZERO;
  errors += flags_of(0, 0) != INVALID;
  errors += flags_of(1e300, 1e-300) != (OVERFLOW | INEXACT);
  errors += flags_of(3e-308, 7e10) != (UNDERFLOW | INEXACT);
  return errors;
}

int main(void) {
  csr_set(sstatus, FS_INITIAL);
  return finish("float", run());
}
