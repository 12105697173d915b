// printf in a kernel arrives on standard output, every line once.
#include "check.h"
#include <string>
#include <unistd.h>

__global__ void talk(int base) {
    printf("line %d of %s, %.2f\n", base + int(threadIdx.x), "the device", threadIdx.x * 0.25);
}

int main() {
    int pipes[2], keep = dup(1);
    EXPECT(pipe(pipes) == 0 && dup2(pipes[1], 1) == 1);
    talk<<<1, 40>>>(0);
    hipError_t launched = hipGetLastError(), first = hipDeviceSynchronize();
    talk<<<2, 8>>>(100);
    hipError_t second = hipDeviceSynchronize();
    std::fflush(stdout);
    dup2(keep, 1);
    close(pipes[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(pipes[0], buffer, sizeof buffer)) > 0;) text.append(buffer, n);
    EXPECT(launched == hipSuccess && first == hipSuccess && second == hipSuccess);
    for (int i = 0; i < 40; i++) {
        char line[80];
        std::snprintf(line, sizeof line, "line %d of the device, %.2f\n", i, i * 0.25);
        EXPECT(text.find(line) != std::string::npos);
    }
    size_t lines = 0;
    for (char c : text) lines += c == '\n';
    EXPECT(lines == 56);
    return done("device_printf");
}
