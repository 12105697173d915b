// Double precision: out[3i] = a x + y fused, out[3i + 1] = x / y, out[3i + 2] = a polynomial of x by Horner's rule.
//
// The division is the full sequence of scaling, refinement and fix-up, so it is exact.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void doubles(global const double *restrict x, global const double *restrict y, global double *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    double u = x[index], v = y[index];
    out[3 * index] = __builtin_fma(1.5, u, v);
    out[3 * index + 1] = u / v;
    double sum = 0.125;
    for (uint k = 0; k < 8; k++)
        sum = __builtin_fma(sum, u, (double)(int)(k * k) - 3.0);
    out[3 * index + 2] = sum;
}
