// Over the quota is an error of the call, and everything else goes on.
#include "check.h"

__global__ void set(int *v, int value) { v[blockIdx.x * blockDim.x + threadIdx.x] = value; }

int main() {
    // Code and queues take memory, too: HIP makes them when they are first needed, and later ones do not survive that there is none left.
    int *first;
    HIP(hipMalloc(&first, 256 * sizeof(int)));
    set<<<1, 256>>>(first, 1);
    HIP(hipDeviceSynchronize());
    size_t free, total;
    HIP(hipMemGetInfo(&free, &total));
    void *much = nullptr;
    hipError_t error = hipMalloc(&much, total + (1 << 20));
    std::printf("hipMalloc of more than all: %s\n", hipGetErrorName(error));
    EXPECT(error == hipErrorOutOfMemory);
    (void)hipGetLastError();
    // As much as there is, in pieces; then the last one fails, and what was given back can be had again.
    const size_t piece = 64 << 20;
    std::vector<void *> pieces;
    for (;;) {
        void *p;
        if (hipMalloc(&p, piece) != hipSuccess) break;
        pieces.push_back(p);
        EXPECT(pieces.size() * piece <= total);
    }
    (void)hipGetLastError();
    std::printf("%zu pieces of 64 MiB of %zu MiB\n", pieces.size(), total >> 20);
    EXPECT(pieces.size() >= 1);
    int v[256];
    set<<<1, 256>>>((int *)pieces[0], 7);
    HIP(hipMemcpy(v, pieces[0], sizeof v, hipMemcpyDeviceToHost));
    for (int x : v) EXPECT(x == 7);
    for (void *p : pieces) HIP(hipFree(p));
    HIP(hipMalloc(&much, piece));
    HIP(hipFree(much));
    return done("out_of_memory");
}
