// steps[y][x] = how many steps the point (left + x*pitch, top + y*pitch) stays within the circle of radius 2.
//
// Neighbouring pixels leave at different steps, so waves diverge; a two-dimensional grid with partial work-groups
// on both edges is natural here.
#include "device.h"

#define TILE 16u

GROUP_SIZE(TILE, TILE)
kernel void mandelbrot(global uint *restrict steps, uint width, uint height, uint steps_max, float left, float top,
                       float pitch) {
    uint px = GROUP_X * TILE + LOCAL_X;
    uint py = GROUP_Y * TILE + LOCAL_Y;
    if (px >= width || py >= height)
        return;
    float cx = __builtin_fmaf((float)px, pitch, left);
    float cy = __builtin_fmaf((float)py, pitch, top);
    float x = 0.0f, y = 0.0f;
    uint step = 0;
    while (step < steps_max) {
        float xx = x * x, yy = y * y;
        if (xx + yy > 4.0f)
            break;
        y = __builtin_fmaf(x + x, y, cy);
        x = xx - yy + cx;
        step++;
    }
    steps[py * width + px] = step;
}
