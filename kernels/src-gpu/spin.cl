// Runs for a known number of wave-instructions: 16 an iteration, on every target.
//
// The loop is written out so that no compiler decides its length: two rounds of xorshift32 (Marsaglia 2003,
// shifts 13, 17, 5), one xor with a constant, and three scalar instructions to count. Every step is affine over GF(2),
// so a checker can jump to the end of any loop without running it.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void spin(global uint *restrict state, uint iterations) {
    uint i = global_index(64);
    uint x = state[i];
    if (iterations != 0) {
        uint t;
        __asm__ volatile("1:\n"
                         "  v_lshlrev_b32 %1, 13, %0\n"
                         "  v_xor_b32 %0, %0, %1\n"
                         "  v_lshrrev_b32 %1, 17, %0\n"
                         "  v_xor_b32 %0, %0, %1\n"
                         "  v_lshlrev_b32 %1, 5, %0\n"
                         "  v_xor_b32 %0, %0, %1\n"
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
                         : "+v"(x), "=&v"(t), "+s"(iterations)
                         :
                         : "scc");
    }
    state[i] = x;
}
