// Stores what it finds in LDS and registers that it never wrote: on a device that scrubs between tenants, zeros.
//
// A work-group's dump, in words: LDS (16384); then per wave 64 lanes x 512 vector registers (v0-v255, a0-a255; the
// 16 words of v0-v15 are not stored); then 64 words per wave, of which the first 60 are s36-s95.
#include "canary.h"

#define WAVES (ITEMS / 64)
#define LANE_WORDS 512u
#define DUMP_WORDS (LDS_WORDS + ITEMS * LANE_WORDS + ITEMS)

CANARY_GROUP
kernel void canary(global uint *restrict dump) {
    local volatile uint lds[LDS_WORDS];
    uint item = LOCAL_X;
    uint wave = item / 64;
    global uint *group = dump + GROUP_X * (ulong)DUMP_WORDS;
    global uint *lane = group + LDS_WORDS + item * LANE_WORDS;
    global uint *scalars = group + LDS_WORDS + ITEMS * LANE_WORDS + wave * 64;

    uint word;
    __asm__ volatile(".set reg, 16\n"
                     ".rept 240\n"
                     "  global_store_dword %1, v[reg], off offset:reg*4\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     ".set reg, 0\n"
                     ".rept 256\n"
                     "  v_accvgpr_read_b32 %0, a[reg]\n"
                     "  s_nop 1\n"
                     "  global_store_dword %1, %0, off offset:1024+reg*4\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     // All lanes hold the same scalar and store it to the same place.
                     ".set reg, 0\n"
                     ".rept 60\n"
                     "  v_mov_b32 %0, s[36+reg]\n"
                     "  global_store_dword %2, %0, off offset:reg*4\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     : "=&v"(word)
                     : "v"(lane), "v"(scalars)
                     : "memory", VECTOR_REGISTERS, ACCUMULATION_REGISTERS, SCALAR_REGISTERS);

    for (uint i = item; i < LDS_WORDS; i += ITEMS)
        group[i] = lds[i];
}
