// hipMemcpy in every direction, at sizes around the places where runtimes change their mind, and odd offsets.
#include "check.h"

int main() {
    const size_t most = 5u << 20;
    std::vector<unsigned char> from(most), to(most);
    for (size_t i = 0; i < most; i++) from[i] = scramble(i);
    unsigned char *a, *b;
    HIP(hipMalloc(&a, most + 64));
    HIP(hipMalloc(&b, most + 64));
    for (size_t size : {size_t(1), size_t(3), size_t(64), size_t(4095), size_t(4096), size_t(16384), size_t(16385), size_t(65537),
                        size_t(1) << 20, (size_t(1) << 20) + 7, most}) {
        for (int skew : {0, 5}) {
            std::fill(to.begin(), to.end(), 0xEE);
            HIP(hipMemcpy(a + skew, from.data(), size, hipMemcpyHostToDevice));
            HIP(hipMemcpy(b, a + skew, size, hipMemcpyDeviceToDevice));
            HIP(hipMemcpy(to.data(), b, size, hipMemcpyDeviceToHost));
            EXPECT(std::memcmp(from.data(), to.data(), size) == 0);
            EXPECT(size == most || to[size] == 0xEE);
        }
    }
    HIP(hipMemcpy(to.data(), from.data() + 9, 1000, hipMemcpyHostToHost));
    EXPECT(std::memcmp(to.data(), from.data() + 9, 1000) == 0);
    HIP(hipMemcpy(b, from.data(), 1000, hipMemcpyDefault));
    HIP(hipMemcpy(to.data(), b, 1000, hipMemcpyDefault));
    EXPECT(std::memcmp(to.data(), from.data(), 1000) == 0);
    return done("copies");
}
