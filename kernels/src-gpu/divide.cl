// Integer quotients and remainders of 32 and 64 bits, signed and unsigned: six words for each pair of operands.
//
// There is no instruction for it: what runs is a reciprocal in floating point and its correction. Divisors are not zero.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void divide(global const ulong *restrict a, global const ulong *restrict b, global uint *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    ulong x = a[index], y = b[index];
    global uint *to = out + 8 * index;
    to[0] = (uint)x / (uint)y;
    to[1] = (uint)x % (uint)y;
    // Operands of which no quotient overflows: the dividend's top bits are dropped.
    to[2] = (uint)((int)((uint)x >> 1) / (int)y);
    to[3] = (uint)((int)((uint)x >> 1) % (int)y);
    ulong quotient = x / y;
    to[4] = (uint)quotient;
    to[5] = (uint)(quotient >> 32);
    long remainder = (long)(x >> 1) % (long)y;
    to[6] = (uint)remainder;
    to[7] = (uint)((ulong)remainder >> 32);
}
