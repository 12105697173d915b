// The algorithms of the bench `native`, for one core of the host: what `-O3 -march=native` makes of them.
//
// `native NAME SIZE` prints the nanoseconds of the fastest of its runs, each over the same work as one dispatch.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Large sizes take longer than the span: still not one run alone.
enum { RUNS_MIN = 8 };

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static float *floats(size_t n) {
    float *x = aligned_alloc(64, (n * 4 + 63) / 64 * 64);
    for (size_t k = 0; k < n; k++)
        x[k] = (float)((k * 2654435761u >> 8) & 0xffff) / 65536.0f - 0.5f;
    return x;
}

static uint32_t *words(size_t n) {
    uint32_t *x = aligned_alloc(64, (n * 4 + 63) / 64 * 64);
    for (size_t k = 0; k < n; k++)
        x[k] = (uint32_t)(k * 2654435761u) ^ (uint32_t)(k >> 3);
    return x;
}

static void vector_add(size_t n) {
    static float *a, *b, *out;
    if (!a)
        a = floats(n), b = floats(n), out = floats(n);
    for (size_t k = 0; k < n; k++)
        out[k] = a[k] + b[k];
}

// Row by row, so that memory is walked forwards: the natural loop order for a vectorising compiler.
static void matmul(size_t rows) {
    static float *a, *b, *c;
    size_t columns = rows + 7, depth = rows + 2;
    if (!a)
        a = floats(rows * depth), b = floats(depth * columns), c = floats(rows * columns);
    memset(c, 0, rows * columns * 4);
    for (size_t m = 0; m < rows; m++)
        for (size_t k = 0; k < depth; k++)
            for (size_t n = 0; n < columns; n++)
                c[m * columns + n] += a[m * depth + k] * b[k * columns + n];
}

// The body that is pulled varies fastest, as on the lanes of a wave: a sum over bodies in order would not be vectorised.
static void nbody(size_t n) {
    static float *restrict x, *restrict y, *restrict z, *restrict mass, *restrict ax, *restrict ay, *restrict az;
    if (!x) {
        x = floats(n), y = floats(n), z = floats(n), mass = floats(n);
        ax = floats(n), ay = floats(n), az = floats(n);
    }
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < n; i++) {
            float dx = x[j] - x[i], dy = y[j] - y[i], dz = z[j] - z[i];
            float inverse = 1.0f / sqrtf(dx * dx + dy * dy + dz * dz + 0.01f);
            float pull = mass[j] * inverse * inverse * inverse;
            ax[i] += dx * pull, ay[i] += dy * pull, az[i] += dz * pull;
        }
    }
}

// Eight points at a time in lockstep: a loop over points alone would not be vectorised.
static void mandelbrot(size_t width) {
    static uint32_t *steps;
    size_t height = (width * 3 + 3) / 4;
    if (!steps)
        steps = words(width * height + 8);
    float pitch = 3.0f / (float)width;
    for (size_t py = 0; py < height; py++) {
        for (size_t p = 0; p < width; p += 8) {
            float cx[8], cy = -1.125f + (float)py * pitch, x[8] = {0}, y[8] = {0};
            uint32_t count[8] = {0}, alive = 1;
            for (int k = 0; k < 8; k++)
                cx[k] = -2.25f + (float)(p + k) * pitch;
            for (int step = 0; step < 256 && alive; step++) {
                alive = 0;
                for (int k = 0; k < 8; k++) {
                    float xx = x[k] * x[k], yy = y[k] * y[k];
                    uint32_t in = xx + yy <= 4.0f;
                    y[k] = in ? (x[k] + x[k]) * y[k] + cy : y[k];
                    x[k] = in ? xx - yy + cx[k] : x[k];
                    count[k] += in;
                    alive |= in;
                }
            }
            memcpy(steps + py * width + p, count, sizeof count);
        }
    }
}

static void histogram(size_t n) {
    static uint32_t *in, bins[256];
    if (!in)
        in = words(n);
    for (size_t k = 0; k < n; k++)
        for (int shift = 0; shift < 32; shift += 8)
            bins[in[k] >> shift & 0xff]++;
    __asm__ volatile("" ::"r"(bins) : "memory");
}

static uint32_t rotate_right(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void sha256(size_t n) {
    static uint32_t *blocks, *digests, constants[64];
    if (!blocks)
        blocks = words(16 * n), digests = words(8 * n), memcpy(constants, blocks, sizeof constants);
    for (size_t i = 0; i < n; i++) {
        uint32_t w[64], v[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        memcpy(w, blocks + 16 * i, 64);
        for (int k = 16; k < 64; k++) {
            uint32_t x = w[k - 15], y = w[k - 2];
            w[k] = w[k - 16] + w[k - 7] + (rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3) +
                   (rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10);
        }
        for (int k = 0; k < 64; k++) {
            uint32_t a = v[0], e = v[4];
            uint32_t t1 = v[7] + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
                          ((e & v[5]) ^ (~e & v[6])) + constants[k] + w[k];
            uint32_t t2 = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
                          ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 28);
            v[4] += t1;
            v[0] = t1 + t2;
        }
        for (int k = 0; k < 8; k++)
            digests[8 * i + k] += v[k];
    }
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*run)(size_t);
    } all[] = {{"vector_add", vector_add}, {"vector_add4", vector_add}, {"matmul", matmul}, {"nbody", nbody},
               {"mandelbrot", mandelbrot}, {"histogram", histogram},    {"sha256", sha256}};
    if (count != 3)
        return 2;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (strcmp(arguments[1], all[k].name))
            continue;
        size_t n = strtoul(arguments[2], 0, 10);
        // The first run makes the data and meets its pages for the first time.
        all[k].run(n);
        uint64_t best = UINT64_MAX, until = now() + 200000000u;
        int runs = 0;
        do {
            uint64_t start = now();
            all[k].run(n);
            uint64_t took = now() - start;
            best = took < best ? took : best;
        } while (++runs < RUNS_MIN || now() < until);
        printf("%llu\n", (unsigned long long)best);
        return 0;
    }
    return 2;
}
