// One generation of Conway's game of life on a torus of bytes.
#include "device.h"

GROUP_SIZE(16, 16)
kernel void life(global const uchar *restrict cells, global uchar *restrict next, global const uint *restrict sides) {
    uint width = sides[0], height = sides[1];
    uint x = GROUP_X * 16 + LOCAL_X, y = GROUP_Y * 16 + LOCAL_Y;
    if (x >= width || y >= height)
        return;
    uint alive = 0;
    for (uint dy = 0; dy < 3; dy++) {
        for (uint dx = 0; dx < 3; dx++) {
            uint nx = x + dx == 0 ? width - 1 : x + dx > width ? 0 : x + dx - 1;
            uint ny = y + dy == 0 ? height - 1 : y + dy > height ? 0 : y + dy - 1;
            alive += dx == 1 && dy == 1 ? 0 : cells[ny * width + nx];
        }
    }
    uint own = cells[y * width + x];
    next[y * width + x] = alive == 3 || (own && alive == 2);
}
