// Four streams at once, events between them, and a callback of the host at the end of each.
#include "check.h"
#include <atomic>

__global__ void step(int *v, int n, int add) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] = v[i] * 3 + add;
}

std::atomic<int> called{0};
static void callback(hipStream_t, hipError_t status, void *which) {
    if (status == hipSuccess) called += 1 << (8 * *(int *)which);
}

int main() {
    const int n = 30000, S = 4, rounds = 8;
    hipStream_t streams[S];
    hipEvent_t events[S];
    int *d[S], ids[S];
    std::vector<int> host[S];
    for (int s = 0; s < S; s++) {
        ids[s] = s;
        HIP(hipStreamCreate(&streams[s]));
        HIP(hipEventCreate(&events[s]));
        HIP(hipMalloc(&d[s], n * 4));
        host[s].assign(n, s);
        HIP(hipMemcpyAsync(d[s], host[s].data(), n * 4, hipMemcpyHostToDevice, streams[s]));
    }
    for (int r = 0; r < rounds; r++)
        for (int s = 0; s < S; s++) step<<<(n + 255) / 256, 256, 0, streams[s]>>>(d[s], n, r + s);
    for (int s = 0; s < S; s++) {
        HIP(hipEventRecord(events[s], streams[s]));
        HIP(hipStreamWaitEvent(streams[(s + 1) % S], events[s], 0));
        HIP(hipMemcpyAsync(host[s].data(), d[s], n * 4, hipMemcpyDeviceToHost, streams[s]));
        HIP(hipStreamAddCallback(streams[s], callback, &ids[s], 0));
    }
    for (int s = 0; s < S; s++) HIP(hipStreamSynchronize(streams[s]));
    for (int s = 0; s < S; s++) {
        int expected = s;
        for (int r = 0; r < rounds; r++) expected = expected * 3 + r + s;
        for (int i = 0; i < n; i++) EXPECT(host[s][i] == expected);
        HIP(hipEventQuery(events[s]));
        HIP(hipStreamQuery(streams[s]));
    }
    HIP(hipDeviceSynchronize());
    EXPECT(called == 0x01010101);
    for (int s = 0; s < S; s++) {
        HIP(hipStreamDestroy(streams[s]));
        HIP(hipEventDestroy(events[s]));
    }
    return done("streams");
}
