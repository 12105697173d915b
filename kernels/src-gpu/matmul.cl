// c[m][n] = a[m][k] * b[k][n], row-major, by 16x16 tiles in LDS.
//
// The grid is rounded up to whole tiles because every work-item loads for its neighbours; edges are padded with
// zero. Each sum runs over k in ascending order with one fused multiply-add a step.
#include "device.h"

#define TILE 16u

GROUP_SIZE(TILE, TILE)
kernel void matmul(global const float *restrict a, global const float *restrict b, global float *restrict c,
                   uint rows, uint columns, uint depth) {
    local float a_tile[TILE][TILE];
    local float b_tile[TILE][TILE];
    uint x = LOCAL_X, y = LOCAL_Y;
    uint column = GROUP_X * TILE + x;
    uint row = GROUP_Y * TILE + y;

    float sum = 0.0f;
    for (uint k0 = 0; k0 < depth; k0 += TILE) {
        a_tile[y][x] = row < rows && k0 + x < depth ? a[row * depth + k0 + x] : 0.0f;
        b_tile[y][x] = column < columns && k0 + y < depth ? b[(k0 + y) * columns + column] : 0.0f;
        group_barrier();
        for (uint k = 0; k < TILE; k++)
            sum = __builtin_fmaf(a_tile[y][k], b_tile[k][x], sum);
        group_barrier();
    }
    if (row < rows && column < columns)
        c[row * columns + column] = sum;
}
