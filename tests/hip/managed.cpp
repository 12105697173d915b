// Managed memory and managed variables.
#include "check.h"

__managed__ int counter = 40;

__global__ void work(int *v, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] = v[i] * v[i];
    if (i == 0) counter += 2;
}

int main() {
    const int n = 4000;
    int *v;
    HIP(hipMallocManaged(&v, n * 4));
    for (int i = 0; i < n; i++) v[i] = i;
    work<<<(n + 255) / 256, 256>>>(v, n);
    HIP(hipDeviceSynchronize());
    for (int i = 0; i < n; i++) EXPECT(v[i] == i * i);
    EXPECT(counter == 42);
    HIP(hipFree(v));
    return done("managed");
}
