// Pinned host memory: the device reads and writes it in place, and copies from it run beside the host.
#include "check.h"
#if HIP_VERSION_MAJOR >= 6
#define memoryType type  // its name since HIP 6
#endif

__global__ void twice(const int *in, int *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = in[i] * 2;
}

int main() {
    const int n = 20000;
    int *in, *out, *din, *dout;
    HIP(hipHostMalloc(&in, n * 4, hipHostMallocMapped));
    HIP(hipHostMalloc(&out, n * 4, hipHostMallocMapped));
    for (int i = 0; i < n; i++) in[i] = i * 7, out[i] = -1;
    HIP(hipHostGetDevicePointer((void **)&din, in, 0));
    HIP(hipHostGetDevicePointer((void **)&dout, out, 0));
    twice<<<(n + 255) / 256, 256>>>(din, dout, n);
    HIP(hipDeviceSynchronize());
    for (int i = 0; i < n; i++) EXPECT(out[i] == i * 14);
    int *device;
    HIP(hipMalloc(&device, n * 4));
    HIP(hipMemcpyAsync(device, in, n * 4, hipMemcpyHostToDevice, 0));
    HIP(hipMemcpyAsync(out, device, n * 4, hipMemcpyDeviceToHost, 0));
    HIP(hipDeviceSynchronize());
    EXPECT(std::memcmp(in, out, n * 4) == 0);
    hipPointerAttribute_t attributes;
    HIP(hipPointerGetAttributes(&attributes, in));
    EXPECT(attributes.memoryType == hipMemoryTypeHost && attributes.hostPointer == in);
    HIP(hipPointerGetAttributes(&attributes, device));
    EXPECT(attributes.memoryType == hipMemoryTypeDevice && attributes.devicePointer == device);
    HIP(hipHostFree(in));
    HIP(hipHostFree(out));
    return done("pinned");
}
