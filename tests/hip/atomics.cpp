// Every kind of atomic, on device memory and on LDS, with results that do not depend on the order.
#include "check.h"

struct Counts {
    unsigned add, sub, inc, dec, and_, or_, xor_, histogram[64];
    int max, min;
    unsigned long long add64, exchange, cas;
    float addf;
    double addd;
};

__global__ void all(Counts *c) {
    __shared__ unsigned local[64];
    if (threadIdx.x < 64) local[threadIdx.x] = 0;
    __syncthreads();
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&c->add, i);
    atomicSub(&c->sub, 3u);
    atomicInc(&c->inc, 999u);
    atomicDec(&c->dec, 999u);
    atomicAnd(&c->and_, ~(1u << (i % 32)));
    atomicOr(&c->or_, 1u << (i % 32));
    atomicXor(&c->xor_, i);
    atomicMax(&c->max, int(i) - 1000);
    atomicMin(&c->min, 1000 - int(i));
    atomicAdd(&c->add64, (unsigned long long)i << 20);
    atomicExch(&c->exchange, 77ull);
    for (unsigned long long seen = c->cas, old;; seen = old) {
        old = atomicCAS(&c->cas, seen, seen + 5);
        if (old == seen) break;
    }
    atomicAdd(&c->addf, 1.0f);
    atomicAdd(&c->addd, 0.5);
    atomicAdd(&local[i * 7 % 64], 1u);
    __syncthreads();
    if (threadIdx.x < 64) atomicAdd(&c->histogram[threadIdx.x], local[threadIdx.x]);
}

int main() {
    const unsigned n = 4096;
    Counts c = {}, *d;
    c.sub = 3 * n, c.and_ = ~0u, c.max = -5000, c.min = 5000, c.dec = 999;
    HIP(hipMalloc(&d, sizeof c));
    HIP(hipMemcpy(d, &c, sizeof c, hipMemcpyHostToDevice));
    all<<<n / 256, 256>>>(d);
    HIP(hipGetLastError());
    HIP(hipMemcpy(&c, d, sizeof c, hipMemcpyDeviceToHost));
    unsigned sum = 0, x = 0, histogram[64] = {};
    for (unsigned i = 0; i < n; i++) sum += i, x ^= i, histogram[i * 7 % 64]++;
    EXPECT(c.add == sum);
    EXPECT(c.sub == 0);
    EXPECT(c.inc == n % 1000);
    EXPECT(c.dec == (999 + 1000 * 8 - n) % 1000);
    EXPECT(c.and_ == 0 && c.or_ == ~0u && c.xor_ == x);
    EXPECT(c.max == int(n) - 1001 && c.min == 1001 - int(n));
    EXPECT(c.add64 == (unsigned long long)sum << 20 && c.exchange == 77 && c.cas == 5ull * n);
    EXPECT(c.addf == n && c.addd == n / 2);
    EXPECT(std::memcmp(c.histogram, histogram, sizeof histogram) == 0);
    return done("atomics");
}
