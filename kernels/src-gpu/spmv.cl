// y = a x for a sparse matrix in rows of compressed columns; a row's products are added in the order they are stored.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void spmv(global const uint *restrict starts, global const uint *restrict columns,
                 global const float *restrict values, global const float *restrict x, global float *restrict y, uint rows) {
    uint row = global_index(64);
    if (row >= rows)
        return;
    float sum = 0.0f;
    for (uint k = starts[row]; k < starts[row + 1]; k++)
        sum = __builtin_fmaf(values[k], x[columns[k]], sum);
    y[row] = sum;
}
