// out[z][y][x] = the number of the work-group it was computed by, and its place in it: a ragged three-dimensional grid.
#include "device.h"

__attribute__((reqd_work_group_size(8, 4, 2)))
kernel void grid3d(global uint *restrict out, global const uint *restrict sides, uint groups_x, uint groups_y) {
    uint width = sides[0], height = sides[1];
    uint gx = GROUP_X, gy = GROUP_Y, gz = __builtin_amdgcn_workgroup_id_z();
    uint lx = LOCAL_X, ly = LOCAL_Y, lz = __builtin_amdgcn_workitem_id_z();
    uint x = gx * 8 + lx, y = gy * 4 + ly, z = gz * 2 + lz;
    uint group = (gz * groups_y + gy) * groups_x + gx;
    out[(z * height + y) * width + x] = group << 8 | lz << 6 | ly << 4 | lx;
}
