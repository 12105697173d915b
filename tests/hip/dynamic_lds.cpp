// LDS whose size the launch decides, up to all of it.
#include "check.h"

extern __shared__ unsigned words[];

__global__ void turn(unsigned *out, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) words[i] = blockIdx.x * 100000 + i;
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) out[blockIdx.x * n + i] = words[n - 1 - i];
}

int main() {
    for (int bytes : {256, 4096, 30000, 65536}) {
        const int n = bytes / 4, blocks = 3;
        std::vector<unsigned> out(n * blocks);
        unsigned *d;
        HIP(hipMalloc(&d, out.size() * 4));
        turn<<<blocks, 256, bytes>>>(d, n);
        HIP(hipGetLastError());
        HIP(hipMemcpy(out.data(), d, out.size() * 4, hipMemcpyDeviceToHost));
        for (int b = 0; b < blocks; b++)
            for (int i = 0; i < n; i++) EXPECT(out[b * n + i] == unsigned(b * 100000 + n - 1 - i));
        HIP(hipFree(d));
    }
    unsigned *d;
    HIP(hipMalloc(&d, 4));
    turn<<<1, 64, 70000>>>(d, 1);
    EXPECT(hipGetLastError() != hipSuccess);
    return done("dynamic_lds");
}
