// What every program here shares: errors end it with a line that says where, results are counted against the CPU's.
#pragma once
#include <hip/hip_runtime.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cmath>
#include <vector>

#define HIP(call)                                                                                                \
    do {                                                                                                         \
        hipError_t error = (call);                                                                               \
        if (error != hipSuccess) {                                                                               \
            std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, hipGetErrorName(error));                   \
            std::exit(1);                                                                                        \
        }                                                                                                        \
    } while (0)

#define EXPECT(condition)                                                                                        \
    do {                                                                                                         \
        if (!(condition)) {                                                                                      \
            std::printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                  \
            std::exit(1);                                                                                        \
        }                                                                                                        \
    } while (0)

// A sequence of numbers that is the same everywhere.
static inline unsigned scramble(unsigned x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static inline int done(const char *what) {
    std::printf("ok: %s\n", what);
    return 0;
}
