// Stores the scalar registers s36 to s95 of its wave as it finds them, then leaves a pattern there for the next run: sn holds tag + 512 + n.
//
// Its waves are small: eight work-groups of four waves take all 32 wave slots of a compute unit of CDNA2 or CDNA3, which `canary` with its
// four waves does not. The dump has 64 words for each wave, of which the first 60 are s36-s95.
#include "canary.h"

GROUP_SIZE(ITEMS, 1)
kernel void canary_scalars(global uint *restrict dump, uint tag) {
    global uint *wave = dump + global_index(ITEMS) / 64 * 64;
    uint word;
    __asm__ volatile(".set reg, 0\n"
                     ".rept 60\n"
                     "  v_mov_b32 %0, s[36+reg]\n"
                     "  global_store_dword %1, %0, off offset:reg*4\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     ".set reg, 36\n"
                     ".rept 60\n"
                     "  s_add_u32 s[reg], %2, 512+reg\n"
                     "  .set reg, reg+1\n"
                     ".endr\n"
                     : "=&v"(word)
                     : "v"(wave), "s"(tag)
                     : "memory", "scc", SCALAR_REGISTERS);
}
