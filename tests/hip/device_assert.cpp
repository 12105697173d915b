// A failing assert in a kernel says where, and ends the program.
#undef NDEBUG
#include "check.h"
#include <cassert>

__global__ void judge(const int *v) {
    assert(v[threadIdx.x] != 13 && "thirteen");
}

int main() {
    int host[64], *d;
    for (int i = 0; i < 64; i++) host[i] = 100 + i;
    HIP(hipMalloc(&d, sizeof host));
    HIP(hipMemcpy(d, host, sizeof host, hipMemcpyHostToDevice));
    judge<<<1, 64>>>(d);
    HIP(hipDeviceSynchronize());
    std::printf("innocent so far\n");
    std::fflush(stdout);
    host[5] = 13;
    HIP(hipMemcpy(d, host, sizeof host, hipMemcpyHostToDevice));
    judge<<<1, 64>>>(d);
    hipError_t error = hipDeviceSynchronize();
    // Not reached with AMD's library either: the program is aborted.
    std::printf("still here: %s\n", hipGetErrorName(error));
    return 3;
}
