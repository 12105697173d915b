// bins[b] += how often byte b occurs in the input: LDS atomics within a work-group, global atomics between them.
//
// The input is read four bytes at a time in a grid-stride loop; the grid's size comes from the dispatch packet.
#include "device.h"

#define BINS 256u

GROUP_SIZE(BINS, 1)
kernel void histogram(global const uint *restrict words, global atomic_uint *bins, uint word_count) {
    local atomic_uint group_bins[BINS];
    uint item = LOCAL_X;
    __opencl_atomic_store(&group_bins[item], 0, memory_order_relaxed, memory_scope_work_group);
    group_barrier();

    // hsa_kernel_dispatch_packet_t (hsa.h): grid_size_x is the 32-bit word at byte 12.
    uint grid = ((constant const uint *)__builtin_amdgcn_dispatch_ptr())[3];
    for (ulong i = global_index(BINS); i < word_count; i += grid) {
        uint word = words[i];
        for (uint shift = 0; shift < 32; shift += 8)
            __opencl_atomic_fetch_add(&group_bins[(word >> shift) & 0xff], 1, memory_order_relaxed,
                                      memory_scope_work_group);
    }
    group_barrier();

    uint count = __opencl_atomic_load(&group_bins[item], memory_order_relaxed, memory_scope_work_group);
    if (count != 0)
        __opencl_atomic_fetch_add(&bins[item], count, memory_order_relaxed, memory_scope_device);
}
