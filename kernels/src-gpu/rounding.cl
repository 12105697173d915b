// Sums of floats in the four rounding directions, and their product with denormals flushed: the MODE register at work.
#include "device.h"


GROUP_SIZE(64, 1)
kernel void rounding(global const float *restrict a, global const float *restrict b, global float *restrict out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    float x = a[index], y = b[index];
    float up, down, zero, nearest, flushed;
    // In assembly, so that nothing is computed at another time than it stands here.
    __asm__ volatile("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 1\n\t"
                     "v_add_f32 %0, %5, %6\n\t"
                     "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 2\n\t"
                     "v_add_f32 %1, %5, %6\n\t"
                     "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 3\n\t"
                     "v_add_f32 %2, %5, %6\n\t"
                     "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 0\n\t"
                     "v_add_f32 %3, %5, %6\n\t"
                     "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 2), 0\n\t"
                     "v_mul_f32 %4, %5, %6\n\t"
                     "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 2), 3"
                     : "=&v"(up), "=&v"(down), "=&v"(zero), "=&v"(nearest), "=&v"(flushed)
                     : "v"(x), "v"(y));
    global float *to = out + 5 * index;
    to[0] = up;
    to[1] = down;
    to[2] = zero;
    to[3] = nearest;
    to[4] = flushed;
}
