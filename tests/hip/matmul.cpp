// Tiled matrix product through LDS, sizes that are no multiple of the tile.
#include "check.h"

constexpr int T = 16;

__global__ void product(const float *a, const float *b, float *c, int m, int n, int k) {
    __shared__ float as[T][T], bs[T][T + 1];
    int row = blockIdx.y * T + threadIdx.y, col = blockIdx.x * T + threadIdx.x;
    float sum = 0;
    for (int t = 0; t < k; t += T) {
        as[threadIdx.y][threadIdx.x] = row < m && t + threadIdx.x < k ? a[row * k + t + threadIdx.x] : 0;
        bs[threadIdx.y][threadIdx.x] = col < n && t + threadIdx.y < k ? b[(t + threadIdx.y) * n + col] : 0;
        __syncthreads();
        for (int i = 0; i < T; i++) sum += as[threadIdx.y][i] * bs[i][threadIdx.x];
        __syncthreads();
    }
    if (row < m && col < n) c[row * n + col] = sum;
}

int main() {
    const int m = 75, n = 93, k = 130;
    std::vector<float> a(m * k), b(k * n), c(m * n);
    // Small integers: the product is exact in any order.
    for (size_t i = 0; i < a.size(); i++) a[i] = float(int(scramble(i) % 17) - 8);
    for (size_t i = 0; i < b.size(); i++) b[i] = float(int(scramble(i + 77777) % 19) - 9);
    float *da, *db, *dc;
    HIP(hipMalloc(&da, a.size() * 4));
    HIP(hipMalloc(&db, b.size() * 4));
    HIP(hipMalloc(&dc, c.size() * 4));
    HIP(hipMemcpy(da, a.data(), a.size() * 4, hipMemcpyHostToDevice));
    HIP(hipMemcpy(db, b.data(), b.size() * 4, hipMemcpyHostToDevice));
    product<<<dim3((n + T - 1) / T, (m + T - 1) / T), dim3(T, T)>>>(da, db, dc, m, n, k);
    HIP(hipGetLastError());
    HIP(hipMemcpy(c.data(), dc, c.size() * 4, hipMemcpyDeviceToHost));
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int x = 0; x < k; x++) sum += a[i * k + x] * b[x * n + j];
            EXPECT(c[i * n + j] == sum);
        }
    return done("matmul");
}
