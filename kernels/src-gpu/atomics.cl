// Every kind of atomic on global memory and in LDS, of 32 and 64 bits; the results do not depend on their order.
//
// counters: sum, minimum (signed), maximum (unsigned), and, or, exclusive or, sum by compare-and-swap; wide_counters: sum, maximum,
// exclusive or; floats: a sum of whole numbers. The LDS copies of a work-group are added to the same places.
#include "device.h"

#define RELAXED(what, to, x) __scoped_atomic_fetch_##what(to, x, __ATOMIC_RELAXED, __MEMORY_SCOPE_DEVICE)

GROUP_SIZE(128, 1)
kernel void atomics(global const uint *restrict in, global uint *counters, global ulong *wide_counters, global float *floats,
                    uint n) {
    local uint near[3];
    local ulong near_wide;
    local float near_float;
    if (LOCAL_X == 0) {
        near[0] = 0;
        near[1] = 0xffffffff;
        near[2] = 0;
        near_wide = 0;
        near_float = 0;
    }
    group_barrier();
    uint index = global_index(128);
    if (index < n) {
        uint x = in[index];
        RELAXED(add, &counters[0], x);
        RELAXED(min, (global int *)&counters[1], (int)x);
        RELAXED(max, &counters[2], x);
        RELAXED(and, &counters[3], x | 0xff);
        RELAXED(or, &counters[4], x & 0xf0f0f0f0);
        RELAXED(xor, &counters[5], x);
        uint seen = counters[6];
        while (!__scoped_atomic_compare_exchange_n(&counters[6], &seen, seen + (x & 15), false, __ATOMIC_RELAXED,
                                                   __ATOMIC_RELAXED, __MEMORY_SCOPE_DEVICE)) {
        }
        RELAXED(add, &wide_counters[0], (ulong)x << 20);
        RELAXED(max, &wide_counters[1], (ulong)x << 31 | x);
        RELAXED(xor, &wide_counters[2], (ulong)x * x);
        RELAXED(add, floats, (float)(x & 15));
        RELAXED(add, &near[0], x);
        RELAXED(min, &near[1], x);
        RELAXED(or, &near[2], x);
        RELAXED(add, &near_wide, (ulong)x * 3);
        RELAXED(add, &near_float, (float)(x & 7));
    }
    group_barrier();
    if (LOCAL_X == 0) {
        RELAXED(add, &counters[7], near[0]);
        RELAXED(min, &counters[8], near[1]);
        RELAXED(or, &counters[9], near[2]);
        RELAXED(add, &wide_counters[3], near_wide);
        RELAXED(add, floats + 1, near_float);
    }
}
