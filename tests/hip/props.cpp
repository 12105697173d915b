// What a program sees of its device is what its tenant may have.
#include "check.h"

int main() {
    int count = 0;
    HIP(hipGetDeviceCount(&count));
    EXPECT(count == 1);
    hipDeviceProp_t p;
    HIP(hipGetDeviceProperties(&p, 0));
    std::printf("%s, %s, %zu MiB, %d compute units\n", p.name, p.gcnArchName, p.totalGlobalMem >> 20, p.multiProcessorCount);
    const char *arch = std::getenv("EXPECT_ARCH");
    EXPECT(std::strncmp(p.gcnArchName, arch ? arch : "gfx90a", 6) == 0);
    EXPECT(p.warpSize == 64 && p.maxThreadsPerBlock == 1024 && p.sharedMemPerBlock == 65536);
    const char *vram = std::getenv("EXPECT_VRAM_MIB"), *cus = std::getenv("EXPECT_CUS");
    if (vram) EXPECT(p.totalGlobalMem >> 20 == std::strtoull(vram, nullptr, 10));
    if (cus) EXPECT(p.multiProcessorCount == std::atoi(cus));
    size_t before, after, total;
    HIP(hipMemGetInfo(&before, &total));
    EXPECT(total == p.totalGlobalMem && before <= total);
    void *held;
    HIP(hipMalloc(&held, 64 << 20));
    HIP(hipMemGetInfo(&after, &total));
    std::printf("free before %zu, after %zu\n", before, after);
    EXPECT(after <= before - (64u << 20));
    HIP(hipFree(held));
    HIP(hipMemGetInfo(&after, &total));
    EXPECT(after == before);
    return done("props");
}
