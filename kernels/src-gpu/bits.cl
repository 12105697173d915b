// Bit fields: extraction with and without sign, insertion, funnel shifts, reversal, position of first and last one, parity, spreading.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void bits(global const uint *restrict in, global uint *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    uint x = in[index], y = in[n - 1 - index];
    uint offset = y & 31, width = y >> 5 & 31;
    global uint *to = out + 8 * index;
    to[0] = __builtin_amdgcn_ubfe(x, offset, width);
    to[1] = (uint)__builtin_amdgcn_sbfe((int)x, offset, width);
    to[2] = (x & 0x00ffff00) | (y & ~0x00ffff00u);
    to[3] = __builtin_amdgcn_alignbit(x, y, offset);
    to[4] = __builtin_bitreverse32(x) + __builtin_amdgcn_alignbyte(x, y, y & 3);
    to[5] = x == 0 ? 77u : (uint)__builtin_clz(x) << 8 | (uint)__builtin_ctz(x);
    to[6] = (uint)__builtin_popcount(x ^ y) & 1;
    uint spread = x & 0xffff;
    spread = (spread | spread << 8) & 0x00ff00ff;
    spread = (spread | spread << 4) & 0x0f0f0f0f;
    spread = (spread | spread << 2) & 0x33333333;
    to[7] = (spread | spread << 1) & 0x55555555;
}
