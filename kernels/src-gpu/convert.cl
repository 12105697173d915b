// Conversions: integers of both signs and 64 bits to floats and back, doubles to floats and back, halves to floats and back.
#include "device.h"

#pragma OPENCL EXTENSION cl_khr_fp16 : enable

GROUP_SIZE(64, 1)
kernel void convert(global const uint *restrict in, global uint *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    uint x = in[index];
    ulong wide = (ulong)x << 20 | x >> 7;
    global uint *to = out + 8 * index;
    to[0] = __builtin_astype((float)(int)x, uint);
    to[1] = __builtin_astype((float)x, uint);
    to[2] = __builtin_astype((float)wide, uint);
    double d = (double)(long)(wide - (1ul << 51));
    to[3] = __builtin_astype((float)d, uint);
    to[4] = (uint)(int)(d * 0x1p-22);
    to[5] = (uint)((float)(x >> 3) * 0.75f);
    to[6] = __builtin_astype((half)((float)(int)x * 0x1p-17f), ushort);
    to[7] = __builtin_astype((float)__builtin_astype((ushort)(x & 0x7bff), half), uint);
}
