// One step of gravity among n bodies, all pairs, with softening; bodies are (x, y, z, mass).
//
// Every work-group walks all bodies in tiles of 256 held in LDS. A work-item past `n` still loads for its
// neighbours, so the grid is rounded up to whole work-groups. Bodies past `n` have no mass.
#include "device.h"

#define TILE 256u

GROUP_SIZE(TILE, 1)
kernel void nbody(global const float4 *restrict body, global float4 *restrict velocity, global float4 *restrict moved,
                  uint n, float dt, float softening) {
    local float4 tile[TILE];
    uint item = LOCAL_X;
    uint i = global_index(TILE);
    float4 me = i < n ? body[i] : (float4)(0.0f);

    float ax = 0.0f, ay = 0.0f, az = 0.0f;
    for (uint start = 0; start < n; start += TILE) {
        uint j = start + item;
        tile[item] = j < n ? body[j] : (float4)(0.0f);
        group_barrier();
#pragma unroll 4
        for (uint k = 0; k < TILE; k++) {
            float4 other = tile[k];
            float dx = other.x - me.x;
            float dy = other.y - me.y;
            float dz = other.z - me.z;
            float distance2 = __builtin_fmaf(dx, dx, __builtin_fmaf(dy, dy, __builtin_fmaf(dz, dz, softening)));
            float inverse = __builtin_amdgcn_rsqf(distance2);
            float pull = other.w * inverse * inverse * inverse;
            ax = __builtin_fmaf(dx, pull, ax);
            ay = __builtin_fmaf(dy, pull, ay);
            az = __builtin_fmaf(dz, pull, az);
        }
        group_barrier();
    }
    if (i < n) {
        float4 v = velocity[i];
        v.x = __builtin_fmaf(ax, dt, v.x);
        v.y = __builtin_fmaf(ay, dt, v.y);
        v.z = __builtin_fmaf(az, dt, v.z);
        velocity[i] = v;
        me.x = __builtin_fmaf(v.x, dt, me.x);
        me.y = __builtin_fmaf(v.y, dt, me.y);
        me.z = __builtin_fmaf(v.z, dt, me.z);
        moved[i] = me;
    }
}
