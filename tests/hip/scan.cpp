// Inclusive prefix sums: within work-groups, over their totals, and added up.
#include "check.h"

constexpr int B = 256;

__global__ void scan_blocks(const int *in, int *out, int *totals, int n) {
    __shared__ int s[2][B];
    int i = blockIdx.x * B + threadIdx.x, from = 0;
    s[0][threadIdx.x] = i < n ? in[i] : 0;
    __syncthreads();
    for (int d = 1; d < B; d *= 2) {
        int v = s[from][threadIdx.x];
        if (threadIdx.x >= d) v += s[from][threadIdx.x - d];
        s[1 - from][threadIdx.x] = v;
        from = 1 - from;
        __syncthreads();
    }
    if (i < n) out[i] = s[from][threadIdx.x];
    if (threadIdx.x == B - 1 && totals) totals[blockIdx.x] = s[from][B - 1];
}

__global__ void add_totals(int *out, const int *totals, int n) {
    int i = blockIdx.x * B + threadIdx.x;
    if (blockIdx.x > 0 && i < n) out[i] += totals[blockIdx.x - 1];
}

int main() {
    const int n = 50000, blocks = (n + B - 1) / B;
    EXPECT(blocks <= B);
    std::vector<int> in(n), out(n);
    for (int i = 0; i < n; i++) in[i] = int(scramble(i) % 201) - 100;
    int *din, *dout, *totals;
    HIP(hipMalloc(&din, n * 4));
    HIP(hipMalloc(&dout, n * 4));
    HIP(hipMalloc(&totals, blocks * 4));
    HIP(hipMemcpy(din, in.data(), n * 4, hipMemcpyHostToDevice));
    scan_blocks<<<blocks, B>>>(din, dout, totals, n);
    scan_blocks<<<1, B>>>(totals, totals, nullptr, blocks);
    add_totals<<<blocks, B>>>(dout, totals, n);
    HIP(hipGetLastError());
    HIP(hipMemcpy(out.data(), dout, n * 4, hipMemcpyDeviceToHost));
    int sum = 0;
    for (int i = 0; i < n; i++) EXPECT(out[i] == (sum += in[i]));
    return done("scan");
}
