// Adds two vectors, checks every element, fills the result with a pattern and checks again; prints PASS or what is wrong.
#include <hip/hip_runtime.h>

#include <cstdio>
#include <cstring>
#include <vector>

__global__ void add(const float *a, const float *b, float *c, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
}

#define CHECK(call)                                                      \
    do {                                                                 \
        hipError_t error = (call);                                       \
        if (error != hipSuccess) {                                       \
            printf("%s: %s\n", #call, hipGetErrorString(error));         \
            return 1;                                                    \
        }                                                                \
    } while (0)

int main() {
    const int n = 100000;
    std::vector<float> a(n), b(n), c(n, -1);
    for (int i = 0; i < n; i++) {
        a[i] = i;
        b[i] = 2 * i;
    }
    hipDeviceProp_t properties;
    CHECK(hipGetDeviceProperties(&properties, 0));
    printf("device %s %s\n", properties.name, properties.gcnArchName);
    float *da, *db, *dc;
    CHECK(hipMalloc(&da, n * 4));
    CHECK(hipMalloc(&db, n * 4));
    CHECK(hipMalloc(&dc, n * 4));
    CHECK(hipMemcpy(da, a.data(), n * 4, hipMemcpyHostToDevice));
    CHECK(hipMemcpy(db, b.data(), n * 4, hipMemcpyHostToDevice));
    hipEvent_t begin, end;
    CHECK(hipEventCreate(&begin));
    CHECK(hipEventCreate(&end));
    CHECK(hipEventRecord(begin));
    hipLaunchKernelGGL(add, dim3((n + 255) / 256), dim3(256), 0, 0, da, db, dc, n);
    CHECK(hipEventRecord(end));
    CHECK(hipDeviceSynchronize());
    float milliseconds = 0;
    CHECK(hipEventElapsedTime(&milliseconds, begin, end));
    CHECK(hipMemcpy(c.data(), dc, n * 4, hipMemcpyDeviceToHost));
    int wrong = 0;
    for (int i = 0; i < n; i++) wrong += c[i] != 3.0f * i;
    CHECK(hipMemset(dc, 0x5a, n * 4));
    CHECK(hipMemcpy(c.data(), dc, n * 4, hipMemcpyDeviceToHost));
    for (int i = 0; i < n; i++) {
        unsigned word;
        memcpy(&word, &c[i], 4);
        wrong += word != 0x5a5a5a5au;
    }
    printf("%d wrong, kernel %s\n", wrong, milliseconds > 0 ? "timed" : "NOT timed");
    bool good = wrong == 0 && milliseconds > 0;
    printf(good ? "PASS\n" : "FAIL\n");
    return !good;
}
