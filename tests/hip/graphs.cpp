// A graph captured from a stream, run three times.
#include "check.h"

__global__ void times(int *v, int n, int by) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] *= by;
}
__global__ void plus(int *v, int n, int by) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) v[i] += by;
}

int main() {
    const int n = 5000;
    std::vector<int> v(n);
    for (int i = 0; i < n; i++) v[i] = i;
    int *d;
    HIP(hipMalloc(&d, n * 4));
    HIP(hipMemcpy(d, v.data(), n * 4, hipMemcpyHostToDevice));
    hipStream_t stream;
    HIP(hipStreamCreate(&stream));
    hipGraph_t graph;
    hipGraphExec_t run;
    HIP(hipStreamBeginCapture(stream, hipStreamCaptureModeGlobal));
    times<<<(n + 255) / 256, 256, 0, stream>>>(d, n, 3);
    plus<<<(n + 255) / 256, 256, 0, stream>>>(d, n, 7);
    HIP(hipStreamEndCapture(stream, &graph));
    size_t nodes = 0;
    HIP(hipGraphGetNodes(graph, nullptr, &nodes));
    EXPECT(nodes == 2);
    HIP(hipGraphInstantiate(&run, graph, nullptr, nullptr, 0));
    for (int r = 0; r < 3; r++) HIP(hipGraphLaunch(run, stream));
    HIP(hipStreamSynchronize(stream));
    std::vector<int> out(n);
    HIP(hipMemcpy(out.data(), d, n * 4, hipMemcpyDeviceToHost));
    for (int i = 0; i < n; i++) EXPECT(out[i] == ((i * 3 + 7) * 3 + 7) * 3 + 7);
    HIP(hipGraphExecDestroy(run));
    HIP(hipGraphDestroy(graph));
    return done("graphs");
}
