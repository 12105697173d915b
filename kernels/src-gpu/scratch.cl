// Sorts 64 words per work-item in a private array: indexed loads and stores to scratch memory.
//
// The array is too large and too freely indexed for registers, so gfx90a addresses it with buffer instructions through
// its scratch descriptor and gfx942 with scratch instructions. The result is the order, folded into one word.
#include "device.h"

#define WORDS 64u

GROUP_SIZE(64, 1)
kernel void scratch(global const uint *restrict seeds, global uint *restrict digest, uint n) {
    uint i = global_index(64);
    if (i >= n)
        return;
    uint word[WORDS];
    uint x = seeds[i];
    // Unrolled, this becomes 100 KB of code with the array partly in registers, which is not what is wanted here.
#pragma nounroll
    for (uint k = 0; k < WORDS; k++) {
        x = x * 1664525u + 1013904223u;
        // Insertion sort: the place depends on the data, hence differs from lane to lane.
        uint place = k;
        while (place > 0 && word[place - 1] > x) {
            word[place] = word[place - 1];
            place--;
        }
        word[place] = x;
    }
    uint fold = 0;
#pragma nounroll
    for (uint k = 0; k < WORDS; k++)
        fold = (fold ^ word[k]) * 16777619u;
    digest[i] = fold;
}
