// Memory of the program's own, registered: kernels work on it in place, copies go through it, and it is the program's again afterwards.
#include "check.h"

__global__ void add(int *v, int n, int by) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] += by;
}

int main() {
    const int n = 300000;
    std::vector<int> before(100, 1), v(n), after(100, 2);
    for (int i = 0; i < n; i++) v[i] = i;
    HIP(hipHostRegister(v.data(), n * 4, hipHostRegisterMapped));
    int *d;
    HIP(hipHostGetDevicePointer((void **)&d, v.data(), 0));
    add<<<(n + 255) / 256, 256>>>(d, n, 5);
    HIP(hipDeviceSynchronize());
    for (int i = 0; i < n; i++) EXPECT(v[i] == i + 5);
    // The host's stores are the device's, and the other way round, as often as one likes.
    for (int i = 0; i < n; i += 1000) v[i] = -i;
    add<<<(n + 255) / 256, 256>>>(d, n, 1);
    HIP(hipDeviceSynchronize());
    for (int i = 0; i < n; i++) EXPECT(v[i] == (i % 1000 ? i + 6 : 1 - i));
    int *device;
    HIP(hipMalloc(&device, n * 4));
    HIP(hipMemcpy(device, v.data(), n * 4, hipMemcpyHostToDevice));
    HIP(hipMemset(device, 0, 4000));
    HIP(hipMemcpy(v.data(), device, n * 4, hipMemcpyDeviceToHost));
    for (int i = 0; i < n; i++) EXPECT(v[i] == (i < 1000 ? 0 : i % 1000 ? i + 6 : 1 - i));
    HIP(hipHostUnregister(v.data()));
    for (int i = 0; i < n; i++) EXPECT(v[i] == (i < 1000 ? 0 : i % 1000 ? i + 6 : 1 - i));
    for (int i = 0; i < 100; i++) EXPECT(before[i] == 1 && after[i] == 2);
    v.resize(2 * n, 9);
    EXPECT(v[n - 1] == n - 1 + 6 && v[n] == 9);
    return done("registered");
}
