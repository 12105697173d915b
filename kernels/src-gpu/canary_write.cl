// Fills LDS and registers with a pattern and leaves it there; `canary` is the one who must not see it.
//
// Register n of v0-v255, a0-a255 holds tag + n (a0 counts as 256), sn of s36-s95 holds tag + 512 + n, word i of LDS holds
// tag + 0x10000 + i. Each work-item folds what it reads back into one word, which proves that the pattern was there:
// fold(x) is rotate-left-by-one, then xor.
#include "canary.h"

CANARY_GROUP
kernel void canary_write(global uint *restrict folded, uint tag) {
    local volatile uint lds[LDS_WORDS];
    uint item = LOCAL_X;
    for (uint i = item; i < LDS_WORDS; i += ITEMS)
        lds[i] = tag + 0x10000u + i;
    group_barrier();

    // A neighbour's words, so that the fold also sees the barrier.
    uint fold = 0;
    for (uint i = item ^ 64u; i < LDS_WORDS; i += ITEMS)
        fold = ((fold << 1) | (fold >> 31)) ^ lds[i];

    uint word, vector_tag = tag;
    __asm__ volatile(".set reg, 16\n"
                     ".rept 240\n"
                     "  v_add_u32 v[reg], reg, %2\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     ".set reg, 0\n"
                     ".rept 256\n"
                     "  v_add_u32 %1, 256+reg, %2\n"
                     "  v_accvgpr_write_b32 a[reg], %1\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     ".set reg, 36\n"
                     ".rept 60\n"
                     "  s_add_u32 s[reg], %3, 512+reg\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     "s_nop 4\n"
                     ".set reg, 16\n"
                     ".rept 240\n"
                     "  v_alignbit_b32 %0, %0, %0, 31\n"
                     "  v_xor_b32 %0, %0, v[reg]\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     ".set reg, 0\n"
                     ".rept 256\n"
                     "  v_accvgpr_read_b32 %1, a[reg]\n"
                     "  v_alignbit_b32 %0, %0, %0, 31\n"
                     "  v_xor_b32 %0, %0, %1\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     ".set reg, 36\n"
                     ".rept 60\n"
                     "  v_alignbit_b32 %0, %0, %0, 31\n"
                     "  v_xor_b32 %0, s[reg], %0\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     : "+v"(fold), "=&v"(word)
                     : "v"(vector_tag), "s"(tag)
                     : "scc", VECTOR_REGISTERS, ACCUMULATION_REGISTERS, SCALAR_REGISTERS);
    folded[global_index(ITEMS)] = fold;
}
