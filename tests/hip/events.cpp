// Events measure: a long kernel takes longer than a short one, and a time is never negative.
#include "check.h"

__global__ void spin(unsigned *out, int rounds) {
    unsigned x = threadIdx.x;
    for (int i = 0; i < rounds; i++) x = x * 1664525u + 1013904223u;
    out[threadIdx.x] = x;
}

static float measure(unsigned *d, int rounds) {
    hipEvent_t begin, end;
    HIP(hipEventCreate(&begin));
    HIP(hipEventCreate(&end));
    HIP(hipEventRecord(begin, 0));
    spin<<<1, 64>>>(d, rounds);
    HIP(hipEventRecord(end, 0));
    HIP(hipEventSynchronize(end));
    float ms = -1;
    HIP(hipEventElapsedTime(&ms, begin, end));
    HIP(hipEventDestroy(begin));
    HIP(hipEventDestroy(end));
    return ms;
}

int main() {
    unsigned *d, host[64];
    HIP(hipMalloc(&d, sizeof host));
    measure(d, 1);
    float brief = measure(d, 100), lengthy = measure(d, 300000);
    std::printf("%.3f ms and %.3f ms\n", brief, lengthy);
    EXPECT(brief >= 0 && lengthy > 0 && lengthy > brief);
    HIP(hipMemcpy(host, d, sizeof host, hipMemcpyDeviceToHost));
    for (unsigned t = 0; t < 64; t++) {
        unsigned x = t;
        for (int i = 0; i < 300000; i++) x = x * 1664525u + 1013904223u;
        EXPECT(host[t] == x);
    }
    return done("events");
}
