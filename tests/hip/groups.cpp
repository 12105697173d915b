// Cooperative groups: tiles, their shuffles and reductions.
#include "check.h"
#include <hip/hip_cooperative_groups.h>
namespace cg = cooperative_groups;

__global__ void tiles(const int *in, int *sums, int *ranks) {
    cg::thread_block block = cg::this_thread_block();
    auto tile = cg::tiled_partition<16>(block);
    int v = in[blockIdx.x * blockDim.x + block.thread_rank()];
    for (int d = 8; d > 0; d /= 2) v += tile.shfl_xor(v, d);
    block.sync();
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    // Not tile.thread_rank(): in the headers of HIP 5.7 the names of a tile are ambiguous.
    int rank = block.thread_rank() % 16;
    ranks[at] = rank;
    if (rank == 0) sums[at / 16] = v;
}

int main() {
    const int n = 1024;
    int host[n], sums[n / 16], ranks[n], *din, *dsums, *dranks;
    for (int i = 0; i < n; i++) host[i] = int(scramble(i) % 1000);
    HIP(hipMalloc(&din, sizeof host));
    HIP(hipMalloc(&dsums, sizeof sums));
    HIP(hipMalloc(&dranks, sizeof ranks));
    HIP(hipMemcpy(din, host, sizeof host, hipMemcpyHostToDevice));
    tiles<<<n / 128, 128>>>(din, dsums, dranks);
    HIP(hipGetLastError());
    HIP(hipMemcpy(sums, dsums, sizeof sums, hipMemcpyDeviceToHost));
    HIP(hipMemcpy(ranks, dranks, sizeof ranks, hipMemcpyDeviceToHost));
    for (int t = 0; t < n / 16; t++) {
        int sum = 0;
        for (int i = 0; i < 16; i++) sum += host[t * 16 + i];
        EXPECT(sums[t] == sum);
    }
    for (int i = 0; i < n; i++) EXPECT(ranks[i] == i % 16);
    return done("groups");
}
