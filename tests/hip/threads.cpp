// Eight threads launch at the same time, each on a stream of its own.
#include "check.h"
#include <thread>

__global__ void mix(unsigned *v, int n, unsigned seed) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] = v[i] * 1664525u + seed;
}

static void work(int id) {
    const int n = 3000, rounds = 40;
    hipStream_t stream;
    HIP(hipStreamCreate(&stream));
    unsigned *d;
    HIP(hipMalloc(&d, n * 4));
    std::vector<unsigned> v(n), expected(n);
    for (int i = 0; i < n; i++) v[i] = expected[i] = scramble(i + id * n);
    HIP(hipMemcpyAsync(d, v.data(), n * 4, hipMemcpyHostToDevice, stream));
    for (int r = 0; r < rounds; r++) {
        mix<<<(n + 255) / 256, 256, 0, stream>>>(d, n, r + id);
        for (auto &e : expected) e = e * 1664525u + r + id;
    }
    HIP(hipMemcpyAsync(v.data(), d, n * 4, hipMemcpyDeviceToHost, stream));
    HIP(hipStreamSynchronize(stream));
    EXPECT(v == expected);
    HIP(hipFree(d));
    HIP(hipStreamDestroy(stream));
}

int main() {
    std::vector<std::thread> threads;
    for (int id = 0; id < 8; id++) threads.emplace_back(work, id);
    for (auto &thread : threads) thread.join();
    return done("threads");
}
