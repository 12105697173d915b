// Textures are refused, cleanly: an error of the call, and the program goes on.
#include "check.h"

__global__ void plain(int *v) { v[threadIdx.x] = threadIdx.x; }

int main() {
    hipChannelFormatDesc format = hipCreateChannelDesc<float>();
    hipArray *array = nullptr;
    hipError_t made = hipMallocArray(&array, &format, 64, 64, hipArrayDefault);
    std::printf("hipMallocArray: %s\n", hipGetErrorName(made));
    float *linear;
    HIP(hipMalloc(&linear, 4096));
    hipResourceDesc resource = {};
    resource.resType = hipResourceTypeLinear;
    resource.res.linear.devPtr = linear;
    resource.res.linear.desc = format;
    resource.res.linear.sizeInBytes = 4096;
    hipTextureDesc how = {};
    hipTextureObject_t texture = 0;
    hipError_t bound = hipCreateTextureObject(&texture, &resource, &how, nullptr);
    std::printf("hipCreateTextureObject: %s\n", hipGetErrorName(bound));
    EXPECT(made != hipSuccess || bound != hipSuccess);
    (void)hipGetLastError();
    int *d, v[64];
    HIP(hipMalloc(&d, sizeof v));
    plain<<<1, 64>>>(d);
    HIP(hipMemcpy(v, d, sizeof v, hipMemcpyDeviceToHost));
    for (int i = 0; i < 64; i++) EXPECT(v[i] == i);
    return done("texture");
}
