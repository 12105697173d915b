// Launches that cannot be: each is an error, none of them harms the next.
#include "check.h"

__global__ void good(int *v) { v[threadIdx.x] = 1 + threadIdx.x; }

int main() {
    int *d, v[64];
    HIP(hipMalloc(&d, sizeof v));
    good<<<1, 2000>>>(d);
    EXPECT(hipGetLastError() != hipSuccess);
    good<<<1, 0>>>(d);
    EXPECT(hipGetLastError() != hipSuccess);
    good<<<1, 64, 1 << 20>>>(d);
    EXPECT(hipGetLastError() != hipSuccess);
    hipModule_t module;
    char nonsense[256] = "this is no code object";
    EXPECT(hipModuleLoadData(&module, nonsense) != hipSuccess);
    (void)hipGetLastError();
    good<<<1, 64>>>(d);
    HIP(hipGetLastError());
    HIP(hipMemcpy(v, d, sizeof v, hipMemcpyDeviceToHost));
    for (int i = 0; i < 64; i++) EXPECT(v[i] == i + 1);
    return done("invalid_kernel");
}
