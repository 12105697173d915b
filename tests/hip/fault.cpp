// A kernel that stores to nowhere: the program gets an error, and gets it in time.
#include "check.h"

__global__ void wild(int *v) { v[threadIdx.x] = 1; }

int main() {
    int *d, v[64];
    HIP(hipMalloc(&d, sizeof v));
    wild<<<1, 64>>>(d);
    HIP(hipMemcpy(v, d, sizeof v, hipMemcpyDeviceToHost));
    EXPECT(v[63] == 1);
    wild<<<1, 64>>>((int *)0x123456789000);
    hipError_t waited = hipDeviceSynchronize();
    hipError_t copied = hipMemcpy(v, d, sizeof v, hipMemcpyDeviceToHost);
    void *more;
    hipError_t allocated = hipMalloc(&more, 4096);
    std::printf("waited: %s, copied: %s, allocated: %s\n", hipGetErrorName(waited), hipGetErrorName(copied), hipGetErrorName(allocated));
    EXPECT(waited != hipSuccess || copied != hipSuccess || allocated != hipSuccess);
    return done("fault");
}
