// Every device the program sees: each runs kernels on memory of its own, on the host's and on its neighbour's; copies go from one to the other, and
// one waits for the other's events. With one device it is right, too, and says so.
#include "check.h"

__global__ void step(int *v, int n, int add) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] = v[i] * 3 + add;
}

__global__ void gather(const int *from, int *to, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = from[n - 1 - i] + 1;
}

static const int n = 70001, bytes = n * 4, groups = (n + 255) / 256;

static std::vector<int> numbers(unsigned seed) {
    std::vector<int> v(n);
    for (int i = 0; i < n; i++) v[i] = int(scramble(seed + i) >> 8);
    return v;
}

int main() {
    int count;
    HIP(hipGetDeviceCount(&count));
    if (const char *expected = std::getenv("EXPECT_DEVICES")) EXPECT(count == std::atoi(expected));
    // Each sees itself, and no two are one.
    std::vector<hipUUID> uuids(count);
    std::vector<hipDeviceProp_t> props(count);
    for (int d = 0; d < count; d++) {
        HIP(hipDeviceGetUuid(&uuids[d], d));
        HIP(hipGetDeviceProperties(&props[d], d));
        EXPECT(props[d].multiProcessorCount > 0);
        for (int e = 0; e < d; e++) {
            EXPECT(std::memcmp(&uuids[d], &uuids[e], sizeof(hipUUID)) != 0);
            EXPECT(props[d].pciBusID != props[e].pciBusID);
        }
    }
    // Memory of each, all of them at work at once.
    std::vector<int *> own(count), back(count);
    std::vector<hipStream_t> streams(count);
    for (int d = 0; d < count; d++) {
        HIP(hipSetDevice(d));
        HIP(hipStreamCreate(&streams[d]));
        HIP(hipMalloc(&own[d], bytes));
        HIP(hipHostMalloc(&back[d], bytes));
        hipPointerAttribute_t attributes;
        HIP(hipPointerGetAttributes(&attributes, own[d]));
        EXPECT(attributes.device == d);
    }
    for (int d = 0; d < count; d++) {
        HIP(hipSetDevice(d));
        std::vector<int> begin = numbers(d);
        HIP(hipMemcpy(own[d], begin.data(), bytes, hipMemcpyHostToDevice));
        for (int r = 0; r < 4; r++) step<<<groups, 256, 0, streams[d]>>>(own[d], n, r + d);
        HIP(hipMemcpyAsync(back[d], own[d], bytes, hipMemcpyDeviceToHost, streams[d]));
    }
    std::vector<std::vector<int>> now(count);
    for (int d = 0; d < count; d++) {
        HIP(hipSetDevice(d));
        HIP(hipStreamSynchronize(streams[d]));
        now[d] = numbers(d);
        for (int i = 0; i < n; i++) {
            for (int r = 0; r < 4; r++) now[d][i] = int(unsigned(now[d][i]) * 3u + r + d);
            EXPECT(back[d][i] == now[d][i]);
        }
    }
    // Host memory, allocated and registered: the devices work on it one after the other.
    int *host, *registered;
    std::vector<int> mine(n, 7);
    HIP(hipSetDevice(0));
    HIP(hipHostMalloc(&host, bytes, hipHostMallocMapped | hipHostMallocPortable));
    HIP(hipHostRegister(mine.data(), bytes, hipHostRegisterMapped | hipHostRegisterPortable));
    HIP(hipHostGetDevicePointer((void **)&registered, mine.data(), 0));
    for (int i = 0; i < n; i++) host[i] = i;
    unsigned factor = 1, added = 0;
    for (int d = 0; d < count; d++) {
        HIP(hipSetDevice(d));
        step<<<groups, 256>>>(host, n, d + 1);
        step<<<groups, 256>>>(registered, n, d + 1);
        HIP(hipDeviceSynchronize());
        factor *= 3, added = added * 3 + d + 1;
        for (int i = 0; i < n; i++) EXPECT(host[i] == int(i * factor + added) && mine[i] == int(7 * factor + added));
    }
    HIP(hipHostUnregister(mine.data()));
    EXPECT(mine[n - 1] == int(7 * factor + added));
    // From each to the next: copies, and kernels that look for themselves.
    for (int d = 0; d < count && count > 1; d++) {
        int next = (d + 1) % count, can = 0, *there, *copy;
        HIP(hipSetDevice(next));
        HIP(hipMalloc(&there, bytes));
        HIP(hipMalloc(&copy, bytes));
        std::vector<int> seen(n);
        HIP(hipMemset(there, 0, bytes));
        HIP(hipMemcpyPeer(there, next, own[d], d, bytes));
        HIP(hipMemcpy(seen.data(), there, bytes, hipMemcpyDeviceToHost));
        EXPECT(seen == now[d]);
        HIP(hipMemset(there, 0, bytes));
        HIP(hipMemcpyPeerAsync(there, next, own[d], d, bytes, streams[next]));
        HIP(hipStreamSynchronize(streams[next]));
        HIP(hipMemcpy(seen.data(), there, bytes, hipMemcpyDeviceToHost));
        EXPECT(seen == now[d]);
        HIP(hipMemset(there, 0, bytes));
        HIP(hipMemcpy(there, own[d], bytes, hipMemcpyDeviceToDevice));
        HIP(hipMemcpy(seen.data(), there, bytes, hipMemcpyDefault));
        EXPECT(seen == now[d]);
        HIP(hipDeviceCanAccessPeer(&can, next, d));
        if (can) {
            HIP(hipDeviceEnablePeerAccess(d, 0));
            gather<<<groups, 256, 0, streams[next]>>>(own[d], copy, n);
            HIP(hipMemcpyAsync(seen.data(), copy, bytes, hipMemcpyDeviceToHost, streams[next]));
            HIP(hipStreamSynchronize(streams[next]));
            for (int i = 0; i < n; i++) EXPECT(seen[i] == now[d][n - 1 - i] + 1);
            HIP(hipDeviceDisablePeerAccess(d));
        }
        HIP(hipFree(there));
        HIP(hipFree(copy));
    }
    // A stream of one device waits for an event of another.
    std::vector<int *> chain(count);
    for (int d = 0; d < count; d++) {
        HIP(hipSetDevice(d));
        HIP(hipMalloc(&chain[d], bytes));
    }
    HIP(hipMemset(chain[0], 0, bytes));
    hipEvent_t event;
    for (int r = 0; r < 8; r++) {
        int d = r % count, next = (r + 1) % count;
        HIP(hipSetDevice(d));
        HIP(hipEventCreateWithFlags(&event, hipEventDisableTiming));
        step<<<groups, 256, 0, streams[d]>>>(chain[d], n, r);
        HIP(hipEventRecord(event, streams[d]));
        HIP(hipSetDevice(next));
        HIP(hipStreamWaitEvent(streams[next], event, 0));
        if (next != d) HIP(hipMemcpyPeerAsync(chain[next], next, chain[d], d, bytes, streams[next]));
        HIP(hipEventDestroy(event));
    }
    HIP(hipSetDevice(8 % count));
    HIP(hipMemcpyAsync(back[0], chain[8 % count], bytes, hipMemcpyDeviceToHost, streams[8 % count]));
    HIP(hipStreamSynchronize(streams[8 % count]));
    unsigned expected = 0;
    for (int r = 0; r < 8; r++) expected = expected * 3 + r;
    for (int i = 0; i < n; i++) EXPECT(back[0][i] == int(expected));
    for (int d = 0; d < count; d++) {
        HIP(hipSetDevice(d));
        HIP(hipStreamDestroy(streams[d]));
        HIP(hipFree(own[d]));
        HIP(hipFree(chain[d]));
        HIP(hipHostFree(back[d]));
    }
    HIP(hipHostFree(host));
    if (count == 1) std::printf("(one device)\n");
    return done("two_devices");
}
