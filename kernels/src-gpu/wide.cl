// 64-bit integers: products, their high halves, shifts by variable amounts, rotations, comparisons, counts of bits.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void wide(global const ulong *restrict a, global const ulong *restrict b, global ulong *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    ulong x = a[index], y = b[index];
    uint by = (uint)y & 63;
    ulong low = (ulong)(uint)x * (uint)y;
    ulong middle = (x >> 32) * (uint)y + (low >> 32);
    ulong other = (ulong)(uint)x * (y >> 32) + (uint)middle;
    global ulong *to = out + 6 * index;
    to[0] = x * y;
    to[1] = (x >> 32) * (y >> 32) + (middle >> 32) + (other >> 32);
    to[2] = x << by | x >> (-by & 63);
    to[3] = (ulong)((long)x >> by);
    to[4] = (x < y) + 2ul * ((long)x < (long)y) + 4ul * (x == y) + ((x > y ? x - y : y - x) << 3);
    to[5] = (ulong)__builtin_popcountl(x) | (x == 0 ? 64ul : (ulong)__builtin_clzl(x)) << 8 |
            (y == 0 ? 64ul : (ulong)__builtin_ctzl(y)) << 16;
}
