// What the occupancy interface says can run, runs.
#include "check.h"

__global__ void fill(int *v, int n) {
    __shared__ int s[1024];
    s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] = s[threadIdx.x] + blockIdx.x;
}

int main() {
    int blocks = 0, grid = 0, size = 0;
    HIP(hipOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill, 256, 0));
    EXPECT(blocks >= 1 && blocks <= 16);
    int fewer = 0;
    HIP(hipOccupancyMaxActiveBlocksPerMultiprocessor(&fewer, fill, 256, 30000));
    EXPECT(fewer >= 1 && fewer < blocks);
    HIP(hipOccupancyMaxPotentialBlockSize(&grid, &size, fill, 0, 0));
    EXPECT(grid >= 1 && size >= 64 && size <= 1024);
    const int n = grid * size;
    int *d;
    std::vector<int> v(n);
    HIP(hipMalloc(&d, n * 4));
    fill<<<grid, size>>>(d, n);
    HIP(hipGetLastError());
    HIP(hipMemcpy(v.data(), d, n * 4, hipMemcpyDeviceToHost));
    for (int i = 0; i < n; i++) EXPECT(v[i] == i % size + i / size);
    hipFuncAttributes attributes;
    HIP(hipFuncGetAttributes(&attributes, (const void *)fill));
    EXPECT(attributes.sharedSizeBytes == 4096 && attributes.maxThreadsPerBlock >= 256);
    return done("occupancy");
}
