// Between a program's HIP runtime and the library under it: how long each call takes. Preloaded in front of that library.
//
// Time inside is told in three parts: calls that do not wait (the library's own work), from the last doorbell to the end of the device's work as the
// completion signal's own stamp says (the device, woken and running), and from there until the wait returns (the library again, noticing). What is
// left of the program's time is HIP's. Stamps are nanoseconds of CLOCK_MONOTONIC, and so is everything here.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Of the thread that measures; what the runtime's own threads do meanwhile is theirs.
static __thread int on;
static uint64_t calls, own_ns, doorbell_at, waits, device_ns, notice_ns, blind_ns;
// What asking for the time twice costs, which is in every call.
static uint64_t clock_ns;

void meter_begin(void) {
    uint64_t from = now();
    for (int i = 0; i < 1000; i++) now();
    clock_ns = (now() - from) / 1000;
    calls = own_ns = waits = device_ns = notice_ns = blind_ns = 0;
    on = 1;
}

void meter_end(const char *what, uint64_t times, uint64_t total_ns) {
    on = 0;
    double n = (double)times;
    // One look at the clock lies inside of what is measured, the other outside, with HIP.
    double own = (own_ns > calls * clock_ns ? own_ns - calls * clock_ns : 0) / n;
    double meter = 2.0 * (double)(calls + waits) * clock_ns / n;
    double hip = total_ns / n - own_ns / n - (device_ns + notice_ns + blind_ns) / n - (double)(calls + waits) * clock_ns / n;
    printf("meter %s: total %.0f hip %.0f library %.0f device %.0f notice %.0f blind %.0f meter %.0f calls %.1f waits %.1f ns\n", what, total_ns / n, hip, own,
           device_ns / n, notice_ns / n, blind_ns / n, meter, calls / n, waits / n);
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

// Six arguments in registers are as many as any of these has.
#define METERED(name)                                                                                            \
    uint64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) {                      \
        static uint64_t (*real)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);                     \
        if (!real) real = (uint64_t(*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t))next(#name);  \
        if (!on) return real(a, b, c, d, e, f);                                                                  \
        uint64_t from = now(), answer = real(a, b, c, d, e, f), to = now();                                      \
        calls++;                                                                                                 \
        own_ns += to - from;                                                                                     \
        if (!strcmp(#name, "hsa_signal_store_screlease")) doorbell_at = to;                                      \
        return answer;                                                                                           \
    }

METERED(hsa_queue_add_write_index_screlease)
METERED(hsa_queue_load_read_index_relaxed)
METERED(hsa_queue_load_read_index_scacquire)
METERED(hsa_queue_load_write_index_relaxed)
METERED(hsa_signal_add_relaxed)
METERED(hsa_signal_create)
METERED(hsa_amd_signal_create)
METERED(hsa_signal_destroy)
METERED(hsa_signal_load_relaxed)
METERED(hsa_signal_silent_store_relaxed)
METERED(hsa_signal_store_relaxed)
METERED(hsa_signal_store_screlease)
METERED(hsa_signal_subtract_relaxed)
METERED(hsa_amd_signal_async_handler)
METERED(hsa_amd_profiling_get_dispatch_time)
METERED(hsa_amd_memory_pool_allocate)
METERED(hsa_amd_memory_pool_free)
METERED(hsa_amd_pointer_info)
METERED(hsa_amd_agents_allow_access)

int64_t hsa_signal_wait_scacquire(uint64_t signal, uint32_t condition, int64_t than, uint64_t timeout, uint32_t how) {
    static int64_t (*real)(uint64_t, uint32_t, int64_t, uint64_t, uint32_t);
    if (!real) real = (int64_t(*)(uint64_t, uint32_t, int64_t, uint64_t, uint32_t))next("hsa_signal_wait_scacquire");
    if (!on) return real(signal, condition, than, timeout, how);
    uint64_t from = now();
    int64_t answer = real(signal, condition, than, timeout, how);
    uint64_t to = now();
    // amd_signal_t: start_ts and end_ts.
    uint64_t end = *(volatile uint64_t *)(signal + 40);
    waits++;
    if (end >= doorbell_at && end <= to) {
        uint64_t since = end > from ? end : from;
        device_ns += since - from;
        notice_ns += to - since;
    } else {
        blind_ns += to - from;
    }
    return answer;
}
