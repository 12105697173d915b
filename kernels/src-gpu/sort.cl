// Sorts every block of 256 signed words in ascending order: Batcher's bitonic network in LDS.
#include "device.h"

GROUP_SIZE(256, 1)
kernel void sort(global int *restrict values) {
    local int tile[256];
    uint at = LOCAL_X, index = global_index(256);
    tile[at] = values[index];
    group_barrier();
    for (uint size = 2; size <= 256; size *= 2) {
        for (uint stride = size / 2; stride > 0; stride /= 2) {
            uint other = at ^ stride;
            if (other > at) {
                int low = tile[at], high = tile[other];
                if ((low > high) == ((at & size) == 0)) {
                    tile[at] = high;
                    tile[other] = low;
                }
            }
            group_barrier();
        }
    }
    values[index] = tile[at];
}
