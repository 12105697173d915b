// out[i] = one of four functions of in[i], chosen by its low bits through a table of functions: indirect calls.
#include "device.h"

#pragma OPENCL EXTENSION __cl_clang_function_pointers : enable

typedef uint (*operation)(uint);

__attribute__((noinline)) static uint table_square(uint x) { return x * x; }
__attribute__((noinline)) static uint table_reverse(uint x) { return __builtin_bitreverse32(x); }
__attribute__((noinline)) static uint table_invert(uint x) { return ~x; }
__attribute__((noinline)) static uint table_mix(uint x) { return (x ^ x >> 15) * 0x2c1b3c6du; }

GROUP_SIZE(64, 1)
kernel void table(global const uint *restrict in, global uint *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    uint x = in[index];
    operation chosen = (x & 3) == 0 ? table_square : (x & 3) == 1 ? table_reverse : (x & 3) == 2 ? table_invert : table_mix;
    out[index] = chosen(x);
}
