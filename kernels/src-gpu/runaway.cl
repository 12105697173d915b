// Says that it has started, then never ends: somebody else has to stop it.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void runaway(global volatile uint *started, uint mark) {
    started[global_index(64)] = mark;
    for (;;)
        __asm__ volatile("s_nop 0");
}
