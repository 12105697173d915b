// Work-group g waits until work-group g-1 has raised its flag, then passes a running value on.
//
// It ends only if a waiting work-group lets its predecessors run: forward progress between resident groups.
// Work-groups start in order of their ids, so a predecessor is resident or done.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void flags(global atomic_uint *flag, global uint *value, uint factor) {
    uint group = GROUP_X;
    if (LOCAL_X != 0)
        return;
    uint before = 1;
    if (group != 0) {
        while (__opencl_atomic_load(&flag[group - 1], memory_order_acquire, memory_scope_device) == 0)
            __builtin_amdgcn_s_sleep(1);
        before = value[group - 1];
    }
    value[group] = before * factor + group;
    __opencl_atomic_store(&flag[group], 1, memory_order_release, memory_scope_device);
}
