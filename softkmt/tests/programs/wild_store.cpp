// Stores to an address that nobody mapped: the runtime must be told of the fault, and ends the program.
#include <hip/hip_runtime.h>

#include <cstdio>

__global__ void store(int *at) { *at = 1; }

int main() {
    hipLaunchKernelGGL(store, dim3(1), dim3(64), 0, 0, reinterpret_cast<int *>(0xdead0000));
    hipError_t error = hipDeviceSynchronize();
    printf("came back: %s\n", hipGetErrorString(error));
    return 0;
}
