// Two vectors added, with an event that says when.
#include "check.h"

static const char *source = "kernel void add(global const uint *a, global const uint *b, global uint *c) {"
                            "    size_t i = get_global_id(0); c[i] = a[i] + b[i]; }";
enum { N = 100000 };
static unsigned a[N], b[N], c[N];

int main(void) {
    begin();
    for (unsigned i = 0; i < N; i++) a[i] = scramble(i), b[i] = scramble(~i);
    cl_kernel add = kernel_of(source, "add");
    cl_mem da = buffer_of(CL_MEM_READ_ONLY, sizeof a, a), db = buffer_of(CL_MEM_READ_ONLY, sizeof b, b);
    cl_mem dc = buffer_of(CL_MEM_WRITE_ONLY, sizeof c, NULL);
    CL(clSetKernelArg(add, 0, sizeof da, &da));
    CL(clSetKernelArg(add, 1, sizeof db, &db));
    CL(clSetKernelArg(add, 2, sizeof dc, &dc));
    size_t global = N;
    cl_event event;
    CL(clEnqueueNDRangeKernel(queue, add, 1, NULL, &global, NULL, 0, NULL, &event));
    CL(clEnqueueReadBuffer(queue, dc, CL_TRUE, 0, sizeof c, c, 1, &event, NULL));
    for (unsigned i = 0; i < N; i++) EXPECT(c[i] == a[i] + b[i]);
    cl_ulong from, to;
    CL(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof from, &from, NULL));
    CL(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof to, &to, NULL));
    EXPECT(from != 0 && from < to);
    return done("cl_add");
}
