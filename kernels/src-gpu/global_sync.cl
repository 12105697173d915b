// Rounds of a grid-wide barrier on global wave sync: in every round each work-group adds what its neighbour wrote in the last one.
//
// Work-group 0 sets the barrier up and tells the others through memory. All work-groups have to be resident.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void global_sync(global uint *restrict values, global uint *ready, uint groups, uint rounds) {
    uint group = GROUP_X, next = (group + 1) % groups;
    if (group == 0) {
        __builtin_amdgcn_ds_gws_init(groups - 1, 0);
        __scoped_atomic_store_n(ready, 1, __ATOMIC_RELEASE, __MEMORY_SCOPE_DEVICE);
    }
    while (__scoped_atomic_load_n(ready, __ATOMIC_ACQUIRE, __MEMORY_SCOPE_DEVICE) == 0)
        __builtin_amdgcn_s_sleep(1);
    for (uint round = 0; round < rounds; round++) {
        uint own = values[(round & 1) * groups * 64 + group * 64 + LOCAL_X];
        uint other = values[(round & 1) * groups * 64 + next * 64 + LOCAL_X];
        values[(1 - (round & 1)) * groups * 64 + group * 64 + LOCAL_X] = own + other * 3;
        __builtin_amdgcn_fence(__ATOMIC_RELEASE, "agent");
        __builtin_amdgcn_ds_gws_barrier(groups - 1, 0);
        __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "agent");
    }
}
