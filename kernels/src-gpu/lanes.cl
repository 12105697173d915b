// Exchanges between the lanes of a wave: sums by data-parallel primitives, a rotation and a reversal by permutes, a
// quad swizzle, the first lane's value, and the number of lanes below that hold an odd word.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void lanes(global const uint *restrict in, global uint *restrict out) {
    uint lane = LOCAL_X;
    uint x = in[GROUP_X * 64 + lane];
    global uint *to = out + GROUP_X * 384 + lane;
    // Inclusive sums within rows of sixteen, then rows handed on.
    uint sum = x;
    sum += (uint)__builtin_amdgcn_update_dpp(0, (int)sum, 0x111, 0xf, 0xf, false);
    sum += (uint)__builtin_amdgcn_update_dpp(0, (int)sum, 0x112, 0xf, 0xf, false);
    sum += (uint)__builtin_amdgcn_update_dpp(0, (int)sum, 0x114, 0xf, 0xf, false);
    sum += (uint)__builtin_amdgcn_update_dpp(0, (int)sum, 0x118, 0xf, 0xf, false);
    sum += (uint)__builtin_amdgcn_update_dpp(0, (int)sum, 0x142, 0xa, 0xf, false);
    sum += (uint)__builtin_amdgcn_update_dpp(0, (int)sum, 0x143, 0xc, 0xf, false);
    to[0] = sum;
    to[64] = (uint)__builtin_amdgcn_ds_bpermute((int)((lane + 5) % 64 * 4), (int)x);
    to[128] = (uint)__builtin_amdgcn_ds_permute((int)((63 - lane) * 4), (int)x);
    to[192] = (uint)__builtin_amdgcn_ds_swizzle((int)x, 0x801b);
    to[256] = (uint)__builtin_amdgcn_readfirstlane((int)x) ^ (uint)__builtin_amdgcn_readlane((int)x, 37);
    ulong odd = __builtin_amdgcn_uicmp(x & 1, 1, 32);
    to[320] = __builtin_amdgcn_mbcnt_hi((uint)(odd >> 32), __builtin_amdgcn_mbcnt_lo((uint)odd, 0));
}
