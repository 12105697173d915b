// The library is opened, closed in the middle of its work, opened again, and the program ends without saying so.
#include "check.h"
#include <dlfcn.h>
#include <pthread.h>

static hsa_status_t (*init)(void), (*down)(void);
static hsa_status_t (*signal_create)(hsa_signal_value_t, uint32_t, const hsa_agent_t *, hsa_signal_t *);
static hsa_status_t (*handler)(hsa_signal_t, hsa_signal_condition_t, hsa_signal_value_t, hsa_amd_signal_handler, void *);
static void (*store)(hsa_signal_t, hsa_signal_value_t);
static volatile int handled;

static bool on_signal(hsa_signal_value_t value, void *data) {
    (void)data;
    handled = (int)value;
    return false;
}

static void *open_it(void) {
    void *library = dlopen("libhsa-runtime64.so.1", RTLD_NOW | RTLD_LOCAL);
    EXPECT(library);
    *(void **)&init = dlsym(library, "hsa_init");
    *(void **)&down = dlsym(library, "hsa_shut_down");
    *(void **)&signal_create = dlsym(library, "hsa_signal_create");
    *(void **)&handler = dlsym(library, "hsa_amd_signal_async_handler");
    *(void **)&store = dlsym(library, "hsa_signal_store_screlease");
    EXPECT(init && down && signal_create && handler && store);
    return library;
}

int main(void) {
    EXPECT(dlvsym(RTLD_DEFAULT, "hsa_init", "ROCR_1"));
    void *library = open_it();
    EXPECT(down() == HSA_STATUS_ERROR_NOT_INITIALIZED);
    HSA(init());
    hsa_signal_t signal;
    HSA(signal_create(0, 0, NULL, &signal));
    HSA(handler(signal, HSA_SIGNAL_CONDITION_EQ, 7, on_signal, NULL));
    // Its threads run on, so its code has to stay.
    EXPECT(dlclose(library) == 0);
    store(signal, 7);
    while (!handled) sched_yield();
    EXPECT(handled == 7);
    library = open_it();
    // The same runtime: one more user of it.
    HSA(init());
    HSA(down());
    HSA(signal_create(1, 0, NULL, &signal));
    HSA(down());
    EXPECT(signal_create(1, 0, NULL, &signal) == HSA_STATUS_ERROR_NOT_INITIALIZED);
    // And once more from the beginning; the end is left to the kernel.
    HSA(init());
    HSA(signal_create(1, 0, NULL, &signal));
    return done("hsa_unload");
}
