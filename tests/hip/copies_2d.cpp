// Two- and three-dimensional copies, in and out of pitched memory.
#include "check.h"

int main() {
    const size_t w = 300, h = 40;
    std::vector<unsigned char> from(w * h), to(512 * h, 0xEE);
    for (size_t i = 0; i < from.size(); i++) from[i] = scramble(i);
    void *pitched;
    size_t pitch;
    HIP(hipMallocPitch(&pitched, &pitch, w, h));
    EXPECT(pitch >= w && pitch % 64 == 0);
    HIP(hipMemcpy2D(pitched, pitch, from.data(), w, w, h, hipMemcpyHostToDevice));
    HIP(hipMemcpy2D(to.data(), 512, pitched, pitch, w, h, hipMemcpyDeviceToHost));
    for (size_t y = 0; y < h; y++) {
        EXPECT(std::memcmp(&to[y * 512], &from[y * w], w) == 0);
        EXPECT(to[y * 512 + w] == 0xEE);
    }
    // A part of it, device to device, then out.
    void *second;
    HIP(hipMalloc(&second, 100 * 20));
    HIP(hipMemcpy2D(second, 100, (char *)pitched + 3 * pitch + 50, pitch, 100, 20, hipMemcpyDeviceToDevice));
    std::vector<unsigned char> part(100 * 20);
    HIP(hipMemcpy(part.data(), second, part.size(), hipMemcpyDeviceToHost));
    for (size_t y = 0; y < 20; y++) EXPECT(std::memcmp(&part[y * 100], &from[(y + 3) * w + 50], 100) == 0);
    // Three dimensions.
    hipExtent extent = make_hipExtent(60, 10, 5);
    hipPitchedPtr cube;
    HIP(hipMalloc3D(&cube, extent));
    hipMemcpy3DParms in = {}, out = {};
    in.srcPtr = make_hipPitchedPtr(from.data(), 60, 60, 10);
    in.dstPtr = cube;
    in.extent = extent;
    in.kind = hipMemcpyHostToDevice;
    HIP(hipMemcpy3D(&in));
    std::vector<unsigned char> back(60 * 10 * 5);
    out.srcPtr = cube;
    out.dstPtr = make_hipPitchedPtr(back.data(), 60, 60, 10);
    out.extent = extent;
    out.kind = hipMemcpyDeviceToHost;
    HIP(hipMemcpy3D(&out));
    EXPECT(std::memcmp(back.data(), from.data(), back.size()) == 0);
    return done("copies_2d");
}
