// out = the mean of the four neighbours of each point of a grid; its border is copied.
#include "device.h"

GROUP_SIZE(16, 4)
kernel void stencil(global const float *restrict in, global float *restrict out, global const uint *restrict sides) {
    uint width = sides[0], height = sides[1];
    uint x = GROUP_X * 16 + LOCAL_X, y = GROUP_Y * 4 + LOCAL_Y;
    if (x >= width || y >= height)
        return;
    uint at = y * width + x;
    bool border = x == 0 || y == 0 || x == width - 1 || y == height - 1;
    out[at] = border ? in[at] : 0.25f * ((in[at - 1] + in[at + 1]) + (in[at - width] + in[at + width]));
}
