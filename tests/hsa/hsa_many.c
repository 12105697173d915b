// Thousands of signals, as many queues as there may be, threads on all of them, and a timer's signal in the way of everybody who waits.
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

enum { SIGNALS = 6000, QUEUES = 32, EACH = 200, HANDLERS = 500 };
static hsa_signal_t signals[SIGNALS];
static volatile sig_atomic_t ticks;
static int handled;

static void on_tick(int number) {
    (void)number;
    ticks++;
}

static bool on_signal(hsa_signal_value_t value, void *data) {
    EXPECT(value == (hsa_signal_value_t)(uintptr_t)data);
    __atomic_add_fetch(&handled, 1, __ATOMIC_RELEASE);
    return false;
}

static void *use(void *data) {
    hsa_queue_t *queue = data;
    hsa_signal_t end;
    HSA(hsa_signal_create(1, 0, NULL, &end));
    for (int i = 0; i < EACH; i++) {
        hsa_signal_store_relaxed(end, 1);
        barrier(queue, end);
        wait_for(end);
    }
    HSA(hsa_signal_destroy(end));
    return NULL;
}

int main(void) {
    begin();
    struct sigaction action = {.sa_handler = on_tick};
    EXPECT(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval often = {{0, 500}, {0, 500}};
    EXPECT(setitimer(ITIMER_REAL, &often, NULL) == 0);

    for (int i = 0; i < SIGNALS; i++) HSA(hsa_signal_create(i, 0, NULL, &signals[i]));
    for (int i = 0; i < SIGNALS; i++) EXPECT(hsa_signal_load_relaxed(signals[i]) == i);
    for (int i = 0; i < HANDLERS; i++)
        HSA(hsa_amd_signal_async_handler(signals[i], HSA_SIGNAL_CONDITION_EQ, 100000 + i, on_signal, (void *)(uintptr_t)(100000 + i)));
    for (int i = 0; i < HANDLERS; i++) hsa_signal_store_screlease(signals[i], 100000 + i);
    while (__atomic_load_n(&handled, __ATOMIC_ACQUIRE) < HANDLERS) sched_yield();

    hsa_queue_t *queues[QUEUES];
    pthread_t threads[QUEUES];
    for (int i = 0; i < QUEUES; i++)
        HSA(hsa_queue_create(gpu, 64, HSA_QUEUE_TYPE_MULTI, NULL, NULL, UINT32_MAX, UINT32_MAX, &queues[i]));
    for (int i = 0; i < QUEUES; i++) EXPECT(pthread_create(&threads[i], NULL, use, queues[i]) == 0);
    for (int i = 0; i < QUEUES; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
    // More than there may be is an error of the call, and nobody loses anything.
    hsa_queue_t *more[128];
    int had = 0;
    hsa_status_t status = HSA_STATUS_SUCCESS;
    while (had < 128 && (status = hsa_queue_create(gpu, 64, HSA_QUEUE_TYPE_MULTI, NULL, NULL, UINT32_MAX, UINT32_MAX, &more[had])) == HSA_STATUS_SUCCESS) had++;
    EXPECT(status == HSA_STATUS_ERROR_OUT_OF_RESOURCES && had > 0 && had + QUEUES <= 64);
    while (had) HSA(hsa_queue_destroy(more[--had]));
    use(queues[0]);
    for (int i = 0; i < QUEUES; i++) HSA(hsa_queue_destroy(queues[i]));
    for (int i = 0; i < SIGNALS; i++) HSA(hsa_signal_destroy(signals[i]));
    EXPECT(ticks > 10);
    HSA(hsa_shut_down());
    return done("hsa_many");
}
