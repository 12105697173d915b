// out[x][y] = in[y][x] for a matrix of 32-bit words, through a 32x32 tile in LDS padded against bank conflicts.
//
// Work-groups are 32x8 and take a tile in four strides; the grid is rounded up to whole tiles.
#include "device.h"

#define TILE 32u
#define ROWS 8u

GROUP_SIZE(TILE, ROWS)
kernel void transpose(global const uint *restrict in, global uint *restrict out, uint width, uint height) {
    local uint tile[TILE][TILE + 1];
    uint x = GROUP_X * TILE + LOCAL_X;
    uint y = GROUP_Y * TILE + LOCAL_Y;
    for (uint dy = 0; dy < TILE; dy += ROWS)
        if (x < width && y + dy < height)
            tile[LOCAL_Y + dy][LOCAL_X] = in[(y + dy) * width + x];
    group_barrier();

    x = GROUP_Y * TILE + LOCAL_X;
    y = GROUP_X * TILE + LOCAL_Y;
    for (uint dy = 0; dy < TILE; dy += ROWS)
        if (x < height && y + dy < width)
            out[(y + dy) * height + x] = tile[LOCAL_X][LOCAL_Y + dy];
}
