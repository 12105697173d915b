// A discrete Fourier transform of 64 complex points a wave, decimation in time, with factors from a table.
//
// Stage by stage in LDS; every butterfly is two fused multiply-adds a component in a fixed order.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void fft(global const float2 *restrict in, global const float2 *restrict factors, global float2 *restrict out) {
    local float2 points[64];
    uint lane = LOCAL_X;
    points[lane] = in[GROUP_X * 64 + (__builtin_bitreverse32(lane) >> 26)];
    group_barrier();
    for (uint half_ = 1; half_ < 64; half_ *= 2) {
        uint k = lane & (half_ - 1);
        float2 low = points[lane & ~half_], high = points[lane | half_], w = factors[k * (32 / half_)];
        float re = __builtin_fmaf(high.x, w.x, -(high.y * w.y)), im = __builtin_fmaf(high.x, w.y, high.y * w.x);
        group_barrier();
        float2 result;
        result.x = lane & half_ ? low.x - re : low.x + re;
        result.y = lane & half_ ? low.y - im : low.y + im;
        points[lane] = result;
        group_barrier();
    }
    out[GROUP_X * 64 + lane] = points[lane];
}
