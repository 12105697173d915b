// Bitonic sort: many small launches on one stream, each needing the one before.
#include "check.h"
#include <algorithm>

__global__ void step(unsigned *v, int j, int k) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x, other = i ^ j;
    if (other > i) {
        bool up = (i & k) == 0;
        if ((v[i] > v[other]) == up) {
            unsigned t = v[i];
            v[i] = v[other], v[other] = t;
        }
    }
}

int main() {
    const int n = 1 << 14;
    std::vector<unsigned> v(n);
    for (int i = 0; i < n; i++) v[i] = scramble(i);
    unsigned *d;
    HIP(hipMalloc(&d, n * 4));
    HIP(hipMemcpy(d, v.data(), n * 4, hipMemcpyHostToDevice));
    for (int k = 2; k <= n; k *= 2)
        for (int j = k / 2; j > 0; j /= 2) step<<<n / 256, 256>>>(d, j, k);
    HIP(hipGetLastError());
    std::vector<unsigned> sorted(n);
    HIP(hipMemcpy(sorted.data(), d, n * 4, hipMemcpyDeviceToHost));
    std::sort(v.begin(), v.end());
    EXPECT(v == sorted);
    return done("sort");
}
