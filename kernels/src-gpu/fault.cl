// Stores to any address it is told to; where that address leads is the test.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void fault(ulong address, uint value) {
    uint i = global_index(64);
    ((global volatile uint *)address)[i] = value + i;
}
