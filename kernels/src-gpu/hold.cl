// As `spin`, with 128 vector registers of which the last one holds something: work of a chosen length and a context of a chosen size.
//
// A wave's registers are 32 KiB, its LDS is the launch's to choose. Ten wave-instructions an iteration: a round of xorshift32
// (Marsaglia 2003, shifts 13, 17, 5), a xor with a constant, and three scalar instructions to count. In the end what the
// last register has held since the beginning is xored in, so that a register lost on the way is seen.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void hold(global uint *restrict state, uint iterations) {
    uint i = global_index(64);
    uint x = state[i];
    uint t;
    __asm__ volatile("  v_mov_b32 v127, %0\n"
                     "1:\n"
                     "  v_lshlrev_b32 %1, 13, %0\n"
                     "  v_xor_b32 %0, %0, %1\n"
                     "  v_lshrrev_b32 %1, 17, %0\n"
                     "  v_xor_b32 %0, %0, %1\n"
                     "  v_lshlrev_b32 %1, 5, %0\n"
                     "  v_xor_b32 %0, %0, %1\n"
                     "  v_xor_b32 %0, 0x9e3779b9, %0\n"
                     "  s_sub_u32 %2, %2, 1\n"
                     "  s_cmp_lg_u32 %2, 0\n"
                     "  s_cbranch_scc1 1b\n"
                     "  v_xor_b32 %0, %0, v127\n"
                     : "+v"(x), "=&v"(t), "+s"(iterations)
                     :
                     : "scc", "v127");
    state[i] = x;
}
