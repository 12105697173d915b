// Device memory shared by two processes: the child writes what the parent reads.
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>

__global__ void add(int *v, int n, int by) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] += by;
}

const int n = 10000;

static int child() {
    hipIpcMemHandle_t handle;
    if (read(0, &handle, sizeof handle) != sizeof handle) return 2;
    int *d;
    HIP(hipIpcOpenMemHandle((void **)&d, handle, hipIpcMemLazyEnablePeerAccess));
    add<<<(n + 255) / 256, 256>>>(d, n, 1000);
    HIP(hipDeviceSynchronize());
    HIP(hipIpcCloseMemHandle(d));
    return 0;
}

int main(int count, char **arguments) {
    if (count > 1) return child();
    int *d;
    HIP(hipMalloc(&d, n * 4));
    std::vector<int> v(n);
    for (int i = 0; i < n; i++) v[i] = i;
    HIP(hipMemcpy(d, v.data(), n * 4, hipMemcpyHostToDevice));
    hipIpcMemHandle_t handle;
    HIP(hipIpcGetMemHandle(&handle, d));
    int pipes[2];
    EXPECT(pipe(pipes) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[0], 0);
        execl("/proc/self/exe", arguments[0], "child", (char *)nullptr);
        _exit(127);
    }
    EXPECT(write(pipes[1], &handle, sizeof handle) == sizeof handle);
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    HIP(hipMemcpy(v.data(), d, n * 4, hipMemcpyDeviceToHost));
    for (int i = 0; i < n; i++) EXPECT(v[i] == i + 1000);
    return done("ipc");
}
