// A tenant that always wants the device: kernels in flight for some seconds, every one checked, and what was done told as it happens.
//
// Each kernel takes every thread's number some steps further, from where the one before has left it. Where it must be after that many kernels is
// known without stepping, so a kernel that was lost, repeated or disturbed by anybody is seen at once.
#include "check.h"
#include <chrono>
#include <unistd.h>

const unsigned threads = 512, steps = 8000, depth = 64;
const unsigned times = 1664525u, plus = 1013904223u;

__global__ void further(unsigned *state, unsigned *seen) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x, x = state[i];
    for (unsigned s = 0; s < steps; s++) x = x * times + plus;
    state[i] = x;
    seen[i] = x;
}

// The same as `count` steps: their composition by squaring.
static void leap(unsigned long long count, unsigned &a, unsigned &c) {
    unsigned step_a = times, step_c = plus;
    for (a = 1, c = 0; count; count >>= 1) {
        if (count & 1) {
            c = step_a * c + step_c;
            a *= step_a;
        }
        step_c += step_a * step_c;
        step_a *= step_a;
    }
}

static long long now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int main(int count, char **arguments) {
    double seconds = count > 1 ? std::atof(arguments[1]) : 1;
    std::vector<unsigned> start(threads);
    for (unsigned i = 0; i < threads; i++) start[i] = scramble(i + 1);
    unsigned *state, *seen;
    HIP(hipMalloc(&state, threads * 4));
    HIP(hipHostMalloc(&seen, depth * threads * 4, 0));
    HIP(hipMemcpy(state, start.data(), threads * 4, hipMemcpyHostToDevice));
    hipStream_t stream;
    HIP(hipStreamCreate(&stream));
    hipEvent_t ended[depth];
    for (auto &event : ended) HIP(hipEventCreateWithFlags(&event, hipEventDisableTiming));

    unsigned long long launched = 0, done = 0;
    long long begun = now(), told = 0;
    bool over = false;
    while (!over || done < launched) {
        while (!over && launched - done < depth) {
            unsigned slot = launched % depth;
            further<<<threads / 128, 128, 0, stream>>>(state, seen + slot * threads);
            HIP(hipEventRecord(ended[slot], stream));
            launched++;
        }
        // In small steps: a program that is in the way of others' processors is no measure for the device.
        usleep(1000);
        while (done < launched) {
            hipError_t state = hipEventQuery(ended[done % depth]);
            if (state == hipErrorNotReady) break;
            HIP(state);
            unsigned a, c, *values = seen + done % depth * threads;
            leap((done + 1) * steps, a, c);
            for (unsigned i = 0; i < threads; i++) EXPECT(values[i] == a * start[i] + c);
            done++;
        }
        long long at = now();
        over = at - begun > seconds * 1e9;
        // With nothing left in flight it had less to do than it might have had.
        bool dry = done == launched;
        if (at - told > 20000000 || dry || over) {
            std::printf("at %lld done %llu %s\n", at, done, dry ? "dry" : "busy");
            std::fflush(stdout);
            told = at;
        }
    }
    HIP(hipStreamSynchronize(stream));
    EXPECT(done > 0);
    return ::done("share");
}
