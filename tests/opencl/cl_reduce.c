// Local memory, barriers and atomics: a histogram and a sum by work-groups.
#include "check.h"

static const char *source =
    "kernel void reduce(global const uint *v, uint n, global uint *sum, global uint *bins) {"
    "    local uint part[128], mine[16];"
    "    uint l = get_local_id(0), total = 0;"
    "    if (l < 16) mine[l] = 0;"
    "    barrier(CLK_LOCAL_MEM_FENCE);"
    "    for (uint i = get_global_id(0); i < n; i += get_global_size(0)) { total += v[i]; atomic_inc(&mine[v[i] & 15]); }"
    "    part[l] = total;"
    "    for (uint step = 64; step; step /= 2) {"
    "        barrier(CLK_LOCAL_MEM_FENCE);"
    "        if (l < step) part[l] += part[l + step];"
    "    }"
    "    barrier(CLK_LOCAL_MEM_FENCE);"
    "    if (l == 0) atomic_add(sum, part[0]);"
    "    if (l < 16) atomic_add(&bins[l], mine[l]);"
    "}";
enum { N = 50000 };
static unsigned v[N];

int main(void) {
    begin();
    unsigned sum = 0, bins[16] = {0}, got_sum = 0, got_bins[16] = {0}, n = N;
    for (unsigned i = 0; i < N; i++) v[i] = scramble(i), sum += v[i], bins[v[i] & 15]++;
    cl_kernel reduce = kernel_of(source, "reduce");
    cl_mem dv = buffer_of(CL_MEM_READ_ONLY, sizeof v, v), ds = buffer_of(CL_MEM_READ_WRITE, sizeof sum, &got_sum);
    cl_mem db = buffer_of(CL_MEM_READ_WRITE, sizeof bins, got_bins);
    CL(clSetKernelArg(reduce, 0, sizeof dv, &dv));
    CL(clSetKernelArg(reduce, 1, sizeof n, &n));
    CL(clSetKernelArg(reduce, 2, sizeof ds, &ds));
    CL(clSetKernelArg(reduce, 3, sizeof db, &db));
    size_t global = 2048, local = 128;
    CL(clEnqueueNDRangeKernel(queue, reduce, 1, NULL, &global, &local, 0, NULL, NULL));
    CL(clEnqueueReadBuffer(queue, ds, CL_TRUE, 0, sizeof sum, &got_sum, 0, NULL, NULL));
    CL(clEnqueueReadBuffer(queue, db, CL_TRUE, 0, sizeof bins, got_bins, 0, NULL, NULL));
    EXPECT(got_sum == sum);
    for (unsigned i = 0; i < 16; i++) EXPECT(got_bins[i] == bins[i]);
    return done("cl_reduce");
}
