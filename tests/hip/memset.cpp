// hipMemset and its wider and two-dimensional relatives.
#include "check.h"

int main() {
    const size_t n = 100003;
    unsigned char *d;
    std::vector<unsigned char> v(n);
    HIP(hipMalloc(&d, n + 16));
    HIP(hipMemset(d, 0x11, n));
    HIP(hipMemset(d + 7, 0xA5, 1001));
    HIP(hipMemcpy(v.data(), d, n, hipMemcpyDeviceToHost));
    for (size_t i = 0; i < n; i++) EXPECT(v[i] == (i >= 7 && i < 1008 ? 0xA5 : 0x11));
    HIP(hipMemsetD32((hipDeviceptr_t)d, 0x01020304, 5000));
    HIP(hipMemsetD16((hipDeviceptr_t)(d + 20000), 0xBEEF, 100));
    HIP(hipMemcpy(v.data(), d, n, hipMemcpyDeviceToHost));
    for (size_t i = 0; i < 20000; i++) EXPECT(v[i] == 4 - i % 4);
    for (size_t i = 20000; i < 20200; i++) EXPECT(v[i] == (i % 2 ? 0xBE : 0xEF));
    EXPECT(v[20200] == 0x11);
    HIP(hipMemset2D(d, 100, 0x77, 30, 50));
    HIP(hipMemcpy(v.data(), d, n, hipMemcpyDeviceToHost));
    for (size_t i = 0; i < 5000; i++) EXPECT(v[i] == (i % 100 < 30 ? 0x77 : 4 - i % 4));
    HIP(hipMemsetAsync(d, 0, n, 0));
    HIP(hipDeviceSynchronize());
    HIP(hipMemcpy(v.data(), d, n, hipMemcpyDeviceToHost));
    for (size_t i = 0; i < n; i++) EXPECT(v[i] == 0);
    return done("memset");
}
