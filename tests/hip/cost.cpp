// What a launch and a copy cost: numbers for people, and for `cargo xtask cost`, which judges them. Parts are told apart where the meter of
// tests/hip/tools is preloaded.
#include "check.h"
#include <algorithm>
#include <chrono>

extern "C" void meter_begin() __attribute__((weak));
extern "C" void meter_end(const char *what, unsigned long times, unsigned long total_ns) __attribute__((weak));

__global__ void empty() {}

static unsigned long now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static double median(std::vector<double> of) {
    std::sort(of.begin(), of.end());
    return of[of.size() / 2];
}

// Launch and synchronize, in rounds; the meter counts the last ones.
static void launches() {
    const unsigned long each = 500, rounds = 40;
    std::vector<double> ns;
    for (unsigned long round = 0; round < rounds; round++) {
        bool metered = meter_begin && round >= rounds / 2;
        if (metered) meter_begin();
        unsigned long begun = now();
        for (unsigned long i = 0; i < each; i++) {
            empty<<<1, 64>>>();
            HIP(hipStreamSynchronize(0));
        }
        unsigned long took = now() - begun;
        if (metered)
            meter_end("launch+synchronize", each, took);
        else
            ns.push_back(double(took) / each);
    }
    std::printf("launch+synchronize %.0f ns\n", median(ns));
}

// A copy of 64 MiB each way, and the same by memcpy, in turns.
static void copies() {
    const size_t bytes = 64 << 20, rounds = 9;
    std::vector<char> from(bytes, 1), to(bytes, 2);
    char *device;
    HIP(hipMalloc(&device, bytes));
    std::vector<double> in, out, plain;
    for (size_t round = 0; round <= rounds; round++) {
        from[round] = char(round);
        unsigned long a = now();
        HIP(hipMemcpy(device, from.data(), bytes, hipMemcpyHostToDevice));
        unsigned long b = now();
        HIP(hipMemcpy(to.data(), device, bytes, hipMemcpyDeviceToHost));
        unsigned long c = now();
        EXPECT(std::memcmp(from.data(), to.data(), bytes) == 0);
        unsigned long d = now();
        std::memcpy(to.data(), from.data(), bytes);
        unsigned long e = now();
        // The first one touches pages that are not there yet.
        if (round == 0) continue;
        in.push_back(double(e - d) / (b - a));
        out.push_back(double(e - d) / (c - b));
        plain.push_back(double(bytes) / (e - d));
    }
    std::printf("copy 64 MiB: to the device %.1f, from the device %.1f percent of memcpy at %.2f GB/s\n", 100 * median(in), 100 * median(out), median(plain));
}

int main() {
    empty<<<1, 64>>>();
    HIP(hipDeviceSynchronize());
    launches();
    copies();
    return done("cost");
}
