// malloc and free in kernels: a list that one kernel builds and another takes apart.
#include "check.h"

struct Node {
    int value;
    Node *next;
};

__global__ void build(Node **heads, int length) {
    Node *head = nullptr;
    for (int i = 0; i < length; i++) {
        Node *node = (Node *)malloc(sizeof(Node));
        if (!node) break;
        node->value = threadIdx.x * 100 + i;
        node->next = head;
        head = node;
    }
    heads[threadIdx.x] = head;
}

__global__ void take(Node **heads, int *sums) {
    int sum = 0;
    for (Node *node = heads[threadIdx.x]; node;) {
        sum += node->value;
        Node *next = node->next;
        free(node);
        node = next;
    }
    sums[threadIdx.x] = sum;
}

int main() {
    const int threads = 32, length = 5;
    Node **heads;
    int *sums, host[threads];
    HIP(hipMalloc(&heads, threads * sizeof(Node *)));
    HIP(hipMalloc(&sums, sizeof host));
    build<<<1, threads>>>(heads, length);
    HIP(hipDeviceSynchronize());
    take<<<1, threads>>>(heads, sums);
    HIP(hipMemcpy(host, sums, sizeof host, hipMemcpyDeviceToHost));
    for (int t = 0; t < threads; t++) EXPECT(host[t] == t * 100 * length + length * (length - 1) / 2);
    return done("device_malloc");
}
