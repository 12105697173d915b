// y[i] = a * x[i] + y[i], fused, in a grid-stride loop: any grid covers any `n`.
//
// The grid's size comes from the hidden arguments that follow the explicit ones (code object v5), and the
// work-group's own size from the same place, so a partial last work-group has to be described there correctly.
#include "device.h"

struct hidden_arguments {
    uint block_count[3]; // whole work-groups
    ushort group_size[3];
    ushort remainder[3]; // work-items in the partial work-group, 0 when there is none
};

kernel void saxpy(float a, global const float *restrict x, global float *restrict y, uint n) {
    constant struct hidden_arguments *hidden = (constant struct hidden_arguments *)__builtin_amdgcn_implicitarg_ptr();
    uint group_size = hidden->group_size[0];
    uint grid = hidden->block_count[0] * group_size + hidden->remainder[0];
    for (ulong i = GROUP_X * group_size + LOCAL_X; i < n; i += grid)
        y[i] = __builtin_fmaf(a, x[i], y[i]);
}
