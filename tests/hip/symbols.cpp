// Constant and device variables: written and read by name, used by kernels.
#include "check.h"

__constant__ int table[256];
__device__ int total = 5;
__device__ int grid[4][8];

__global__ void look(int *out) {
    int i = threadIdx.x;
    out[i] = table[255 - i];
    grid[i / 8 % 4][i % 8] = i;
    if (i == 0) total += table[7];
}

int main() {
    int host[256], out[256], sum, cells[4][8], *d;
    for (int i = 0; i < 256; i++) host[i] = i * i;
    HIP(hipMemcpyToSymbol(HIP_SYMBOL(table), host, sizeof host));
    HIP(hipMalloc(&d, sizeof out));
    look<<<1, 256>>>(d);
    HIP(hipGetLastError());
    HIP(hipMemcpy(out, d, sizeof out, hipMemcpyDeviceToHost));
    for (int i = 0; i < 256; i++) EXPECT(out[i] == (255 - i) * (255 - i));
    HIP(hipMemcpyFromSymbol(&sum, HIP_SYMBOL(total), sizeof sum));
    EXPECT(sum == 5 + 49);
    HIP(hipMemcpyFromSymbol(cells, HIP_SYMBOL(grid), sizeof cells));
    for (int i = 224; i < 256; i++) EXPECT(cells[i / 8 % 4][i % 8] % 32 == i % 32);
    void *address;
    size_t size;
    HIP(hipGetSymbolAddress(&address, HIP_SYMBOL(total)));
    HIP(hipGetSymbolSize(&size, HIP_SYMBOL(table)));
    EXPECT(size == sizeof table);
    sum = 1000;
    HIP(hipMemcpy(address, &sum, sizeof sum, hipMemcpyHostToDevice));
    look<<<1, 256>>>(d);
    HIP(hipMemcpyFromSymbol(&sum, HIP_SYMBOL(total), sizeof sum));
    EXPECT(sum == 1049);
    return done("symbols");
}
