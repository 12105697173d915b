// lengths[p] = the length of the longest common subsequence of the 32 bytes of a[p] and of b[p]: a table in private memory.
#include "device.h"

GROUP_SIZE(64, 1)
kernel void lcs(global const uchar *restrict a, global const uchar *restrict b, global uint *restrict lengths, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    uchar row[33];
    for (uint j = 0; j <= 32; j++)
        row[j] = 0;
    for (uint i = 0; i < 32; i++) {
        uchar diagonal = 0, x = a[32 * index + i];
        for (uint j = 1; j <= 32; j++) {
            uchar above = row[j];
            row[j] = x == b[32 * index + j - 1] ? (uchar)(diagonal + 1) : above > row[j - 1] ? above : row[j - 1];
            diagonal = above;
        }
    }
    lengths[index] = row[32];
}
