// Children: one that runs another program, one that goes on by itself, many that end at once; the parent notices none of it.
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>

static void works(void) {
    hsa_queue_t *queue;
    hsa_signal_t end;
    HSA(hsa_queue_create(gpu, 64, HSA_QUEUE_TYPE_MULTI, NULL, NULL, UINT32_MAX, UINT32_MAX, &queue));
    HSA(hsa_signal_create(1, 0, NULL, &end));
    barrier(queue, end);
    wait_for(end);
    HSA(hsa_signal_destroy(end));
    HSA(hsa_queue_destroy(queue));
}

static void ends_well(pid_t child) {
    int status;
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int count, char **arguments) {
    (void)arguments;
    begin();
    works();
    if (count > 1) return 0;
    void *memory;
    HSA(hsa_amd_memory_pool_allocate(gpu_pool, 1 << 20, 0, &memory));
    hsa_queue_t *queue;
    hsa_signal_t end;
    HSA(hsa_queue_create(gpu, 64, HSA_QUEUE_TYPE_MULTI, NULL, NULL, UINT32_MAX, UINT32_MAX, &queue));
    HSA(hsa_signal_create(1, 0, NULL, &end));
    fflush(stdout);

    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "hsa_fork", "again", (char *)NULL);
        _exit(127);
    }
    ends_well(child);

    child = fork();
    if (child == 0) {
        // It is nobody's tenant, and what it does to its parent's things does nothing.
        hsa_signal_t none;
        EXPECT(hsa_signal_create(1, 0, NULL, &none) == HSA_STATUS_ERROR_NOT_INITIALIZED);
        EXPECT(hsa_queue_destroy(queue) == HSA_STATUS_ERROR_NOT_INITIALIZED);
        EXPECT(hsa_amd_memory_pool_free(memory) == HSA_STATUS_ERROR_NOT_INITIALIZED);
        EXPECT(hsa_shut_down() == HSA_STATUS_ERROR_NOT_INITIALIZED);
        // A session of its own, until it ends.
        begin();
        works();
        HSA(hsa_shut_down());
        exit(0);
    }
    ends_well(child);

    pid_t many[8];
    for (int i = 0; i < 8; i++)
        if ((many[i] = fork()) == 0) exit(0);
    for (int i = 0; i < 8; i++) ends_well(many[i]);

    barrier(queue, end);
    wait_for(end);
    HSA(hsa_queue_destroy(queue));
    HSA(hsa_amd_memory_pool_free(memory));
    works();
    HSA(hsa_shut_down());
    return done("hsa_fork");
}
