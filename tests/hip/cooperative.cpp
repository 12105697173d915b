// A cooperative launch: every work-group waits for every other one, several times.
#include "check.h"
#include <hip/hip_cooperative_groups.h>
namespace cg = cooperative_groups;

__global__ void relay(int *v, int n, int rounds) {
    cg::grid_group grid = cg::this_grid();
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    for (int r = 0; r < rounds; r++) {
        // What a thread of another work-group wrote in the round before.
        int next = v[(r & 1) * n + (i + blockDim.x) % n] + 1;
        v[(1 - (r & 1)) * n + i] = next;
        grid.sync();
    }
}

int main() {
    int works = 0;
    HIP(hipDeviceGetAttribute(&works, hipDeviceAttributeCooperativeLaunch, 0));
    EXPECT(works == 1);
    int n = 4 * 128, rounds = 9;
    std::vector<int> v(2 * n), expected(n);
    for (int i = 0; i < n; i++) v[i] = expected[i] = int(scramble(i) % 1000);
    int *d;
    HIP(hipMalloc(&d, v.size() * 4));
    HIP(hipMemcpy(d, v.data(), v.size() * 4, hipMemcpyHostToDevice));
    void *arguments[] = {&d, &n, &rounds};
    HIP(hipLaunchCooperativeKernel((void *)relay, dim3(4), dim3(128), arguments, 0, 0));
    HIP(hipDeviceSynchronize());
    HIP(hipMemcpy(v.data(), d, v.size() * 4, hipMemcpyDeviceToHost));
    for (int r = 0; r < rounds; r++) {
        std::vector<int> next(n);
        for (int i = 0; i < n; i++) next[i] = expected[(i + 128) % n] + 1;
        expected = next;
    }
    for (int i = 0; i < n; i++) EXPECT(v[(rounds & 1) * n + i] == expected[i]);
    return done("cooperative");
}
