// What a launch costs: empty kernels, each waited for, and many in a row.
#include "check.h"
#include <chrono>

__global__ void empty() {}

static double now() {
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int main() {
    const int each = 2000, row = 5000;
    empty<<<1, 64>>>();
    HIP(hipDeviceSynchronize());
    double begun = now();
    for (int i = 0; i < each; i++) {
        empty<<<1, 64>>>();
        HIP(hipStreamSynchronize(0));
    }
    double waited = (now() - begun) / each;
    begun = now();
    for (int i = 0; i < row; i++) empty<<<1, 64>>>();
    double queued = (now() - begun) / row;
    HIP(hipDeviceSynchronize());
    double in_a_row = (now() - begun) / row;
    std::printf("launch and synchronize %.2f us, launch %.2f us, a launch of many with the last one's end %.2f us\n", waited, queued, in_a_row);
    EXPECT(waited > 0 && queued > 0);
    return done("launches");
}
