// Sum, minimum and maximum of half a million numbers: shuffles in a wave, LDS in a work-group, atomics between them.
#include "check.h"

__global__ void reduce(const int *in, int n, unsigned long long *sum, int *least, int *most) {
    __shared__ long long sums[16];
    __shared__ int mins[16], maxs[16];
    long long s = 0;
    int lo = 0x7fffffff, hi = -0x7fffffff;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        s += in[i];
        lo = min(lo, in[i]);
        hi = max(hi, in[i]);
    }
    for (int d = 32; d > 0; d /= 2) {
        s += __shfl_down(s, d);
        lo = min(lo, __shfl_down(lo, d));
        hi = max(hi, __shfl_down(hi, d));
    }
    int wave = threadIdx.x / 64, lane = threadIdx.x % 64;
    if (lane == 0) sums[wave] = s, mins[wave] = lo, maxs[wave] = hi;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < blockDim.x / 64; w++) s += sums[w], lo = min(lo, mins[w]), hi = max(hi, maxs[w]);
        atomicAdd(sum, (unsigned long long)s);
        atomicMin(least, lo);
        atomicMax(most, hi);
    }
}

int main() {
    const int n = 500001;
    std::vector<int> in(n);
    long long sum = 0;
    int lo = 0x7fffffff, hi = -0x7fffffff;
    for (int i = 0; i < n; i++) {
        in[i] = int(scramble(i) % 2000001) - 1000000;
        sum += in[i], lo = std::min(lo, in[i]), hi = std::max(hi, in[i]);
    }
    int *din, *dlo, *dhi;
    unsigned long long *dsum;
    HIP(hipMalloc(&din, n * 4));
    HIP(hipMalloc(&dlo, 4));
    HIP(hipMalloc(&dhi, 4));
    HIP(hipMalloc(&dsum, 8));
    HIP(hipMemcpy(din, in.data(), n * 4, hipMemcpyHostToDevice));
    HIP(hipMemset(dsum, 0, 8));
    int first[2] = {0x7fffffff, -0x7fffffff};
    HIP(hipMemcpy(dlo, &first[0], 4, hipMemcpyHostToDevice));
    HIP(hipMemcpy(dhi, &first[1], 4, hipMemcpyHostToDevice));
    reduce<<<20, 256>>>(din, n, dsum, dlo, dhi);
    HIP(hipGetLastError());
    long long got;
    int glo, ghi;
    HIP(hipMemcpy(&got, dsum, 8, hipMemcpyDeviceToHost));
    HIP(hipMemcpy(&glo, dlo, 4, hipMemcpyDeviceToHost));
    HIP(hipMemcpy(&ghi, dhi, 4, hipMemcpyDeviceToHost));
    EXPECT(got == sum);
    EXPECT(glo == lo);
    EXPECT(ghi == hi);
    return done("reduction");
}
