// Signals of two processes: stores, packets and waits of either are seen by the other, and what is no such signal is refused.
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>

enum { GO, DONE, AFTER, COUNT };

static hsa_queue_t *make_queue(void) {
    hsa_queue_t *queue;
    HSA(hsa_queue_create(gpu, 64, HSA_QUEUE_TYPE_MULTI, NULL, NULL, UINT32_MAX, UINT32_MAX, &queue));
    return queue;
}

// A packet that waits for another one's signal.
static void barrier_after(hsa_queue_t *queue, hsa_signal_t before, hsa_signal_t done) {
    uint64_t at = hsa_queue_add_write_index_screlease(queue, 1);
    hsa_barrier_and_packet_t *packet = (hsa_barrier_and_packet_t *)queue->base_address + at % queue->size;
    memset((char *)packet + 4, 0, sizeof *packet - 4);
    packet->dep_signal[0] = before;
    packet->completion_signal = done;
    __atomic_store_n((uint32_t *)packet, HSA_PACKET_TYPE_BARRIER_AND << HSA_PACKET_HEADER_TYPE, __ATOMIC_RELEASE);
    hsa_signal_store_screlease(queue->doorbell_signal, (hsa_signal_value_t)at);
}

static int child(void) {
    hsa_amd_ipc_signal_t handles[COUNT];
    hsa_signal_t signals[COUNT];
    EXPECT(read(0, handles, sizeof handles) == sizeof handles);
    for (int i = 0; i < COUNT; i++) HSA(hsa_amd_ipc_signal_attach(&handles[i], &signals[i]));
    EXPECT(signals[GO].handle != signals[DONE].handle);
    // The parent stores, a packet here completes, and a packet of the parent waits for that.
    EXPECT(hsa_signal_wait_scacquire(signals[GO], HSA_SIGNAL_CONDITION_EQ, 7, 20000000000u, HSA_WAIT_STATE_BLOCKED) == 7);
    hsa_queue_t *queue = make_queue();
    barrier(queue, signals[DONE]);
    wait_for(signals[AFTER]);
    hsa_amd_ipc_signal_t passed_on;
    EXPECT(hsa_amd_ipc_signal_create(signals[GO], &passed_on) == HSA_STATUS_ERROR_INVALID_ARGUMENT);
    hsa_signal_add_relaxed(signals[GO], 35);
    for (int i = 0; i < COUNT; i++) HSA(hsa_signal_destroy(signals[i]));
    HSA(hsa_shut_down());
    return 0;
}

int main(int count, char **arguments) {
    (void)arguments;
    begin();
    if (count > 1) return child();
    hsa_signal_t signals[COUNT], plain;
    hsa_amd_ipc_signal_t handles[COUNT], none;
    for (int i = 0; i < COUNT; i++) {
        HSA(hsa_amd_signal_create(1, 0, NULL, HSA_AMD_SIGNAL_IPC, &signals[i]));
        HSA(hsa_amd_ipc_signal_create(signals[i], &handles[i]));
    }
    HSA(hsa_signal_create(1, 0, NULL, &plain));
    EXPECT(hsa_amd_ipc_signal_create(plain, &none) == HSA_STATUS_ERROR_INVALID_ARGUMENT);
    memset(&none, 0, sizeof none);
    EXPECT(hsa_amd_ipc_signal_attach(&none, &plain) == HSA_STATUS_ERROR_INVALID_ARGUMENT);

    int pipes[2];
    EXPECT(pipe(pipes) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[0], 0);
        execl("/proc/self/exe", "hsa_ipc", "child", (char *)NULL);
        _exit(127);
    }
    hsa_queue_t *queue = make_queue();
    barrier_after(queue, signals[DONE], signals[AFTER]);
    EXPECT(write(pipes[1], handles, sizeof handles) == sizeof handles);
    hsa_signal_store_screlease(signals[GO], 7);
    wait_for(signals[AFTER]);
    EXPECT(hsa_signal_load_scacquire(signals[DONE]) == 0);
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT(hsa_signal_load_scacquire(signals[GO]) == 42);
    for (int i = 0; i < COUNT; i++) HSA(hsa_signal_destroy(signals[i]));
    HSA(hsa_queue_destroy(queue));
    HSA(hsa_shut_down());
    return done("hsa_ipc");
}
