// Bytes and halves: widened with and without sign, added, narrowed back; bytes reversed; sums of absolute differences.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void narrow(global const uchar *restrict bytes, global const short *restrict shorts, global uchar *restrict bytes_out,
                   global short *restrict shorts_out, global uint *restrict words_out, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    uint b = bytes[index];
    int signed_b = (char)b, s = shorts[index];
    bytes_out[index] = (uchar)(b + (uint)s);
    shorts_out[index] = (short)(s * signed_b);
    uint word = b | (uint)s << 8;
    uint other = (uint)signed_b * 0x01030507u;
    uint sum = __builtin_amdgcn_sad_u8(word, other, b);
    words_out[2 * index] = __builtin_bswap32(word) ^ sum;
    words_out[2 * index + 1] = __builtin_amdgcn_perm(word, other, 0x0c050306u) + __builtin_amdgcn_lerp(word, other, 0x01010001u);
}
