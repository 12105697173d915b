// Buffers mapped, filled, copied by rectangles, and made of memory of the program's own.
#include "check.h"

enum { W = 64, H = 48 };
static unsigned from[W * H], to[W * H];
static const char *source = "kernel void twice(global uint *v) { v[get_global_id(0)] *= 2; }";

int main(void) {
    begin();
    for (unsigned i = 0; i < W * H; i++) from[i] = scramble(i);
    cl_mem a = buffer_of(CL_MEM_READ_WRITE, sizeof from, NULL), b = buffer_of(CL_MEM_READ_WRITE, sizeof from, NULL);
    cl_int error;
    unsigned *mapped = clEnqueueMapBuffer(queue, a, CL_TRUE, CL_MAP_WRITE, 0, sizeof from, 0, NULL, NULL, &error);
    CL(error);
    memcpy(mapped, from, sizeof from);
    CL(clEnqueueUnmapMemObject(queue, a, mapped, 0, NULL, NULL));
    unsigned pattern = 0xabcd1234;
    CL(clEnqueueFillBuffer(queue, b, &pattern, sizeof pattern, 0, sizeof from, 0, NULL, NULL));
    // A rectangle of 16 by 8 from (4, 5) to (20, 30).
    size_t source_at[] = {16, 5, 0}, target_at[] = {80, 30, 0}, region[] = {64, 8, 1}, pitch = W * 4;
    CL(clEnqueueCopyBufferRect(queue, a, b, source_at, target_at, region, pitch, 0, pitch, 0, 0, NULL, NULL));
    CL(clEnqueueReadBuffer(queue, b, CL_TRUE, 0, sizeof to, to, 0, NULL, NULL));
    for (unsigned y = 0; y < H; y++)
        for (unsigned x = 0; x < W; x++) {
            int inside = x >= 20 && x < 36 && y >= 30 && y < 38;
            EXPECT(to[y * W + x] == (inside ? from[(y - 25) * W + x - 16] : pattern));
        }
    // Memory of our own, seen by a kernel.
    memcpy(to, from, sizeof to);
    cl_mem own = clCreateBuffer(context, CL_MEM_USE_HOST_PTR, sizeof to, to, &error);
    CL(error);
    cl_kernel twice = kernel_of(source, "twice");
    CL(clSetKernelArg(twice, 0, sizeof own, &own));
    size_t global = W * H;
    CL(clEnqueueNDRangeKernel(queue, twice, 1, NULL, &global, NULL, 0, NULL, NULL));
    mapped = clEnqueueMapBuffer(queue, own, CL_TRUE, CL_MAP_READ, 0, sizeof to, 0, NULL, NULL, &error);
    CL(error);
    for (unsigned i = 0; i < W * H; i++) EXPECT(mapped[i] == 2 * from[i]);
    CL(clEnqueueUnmapMemObject(queue, own, mapped, 0, NULL, NULL));
    CL(clFinish(queue));
    return done("cl_buffers");
}
