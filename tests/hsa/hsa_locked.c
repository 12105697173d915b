// Locked host memory as nobody should use it: nothing, everything, twice, overlapping, unmapped meanwhile, and more of it than there is room for.
#include "check.h"
#include <sys/mman.h>

enum { PAGE = 4096, MANY = 3000 };

static char *pages(size_t bytes, int rights) {
    char *place = mmap(NULL, bytes, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(place != MAP_FAILED);
    return place;
}

static void copy(void *to, const void *from, size_t bytes) {
    hsa_signal_t end;
    HSA(hsa_signal_create(1, 0, NULL, &end));
    HSA(hsa_amd_memory_async_copy(to, gpu, from, gpu, bytes, 0, NULL, end));
    wait_for(end);
    HSA(hsa_signal_destroy(end));
}

int main(void) {
    begin();
    void *alias, *again, *device;
    HSA(hsa_amd_memory_pool_allocate(gpu_pool, 1 << 20, 0, &device));

    // What is no memory.
    EXPECT(hsa_amd_memory_lock(NULL, PAGE, &gpu, 1, &alias) == HSA_STATUS_ERROR_INVALID_ARGUMENT);
    char one = 1;
    EXPECT(hsa_amd_memory_lock(&one, 0, &gpu, 1, &alias) == HSA_STATUS_ERROR_INVALID_ARGUMENT);
    EXPECT(hsa_amd_memory_lock(&one, SIZE_MAX, &gpu, 1, &alias) == HSA_STATUS_ERROR_INVALID_ARGUMENT);
    EXPECT(hsa_amd_memory_lock(&one, 1, &gpu, 1, NULL) == HSA_STATUS_ERROR_INVALID_ARGUMENT);
    hsa_agent_t nobody = {77};
    EXPECT(hsa_amd_memory_lock(&one, 1, &nobody, 1, &alias) == HSA_STATUS_ERROR_INVALID_AGENT);
    HSA(hsa_amd_memory_unlock(device));
    HSA(hsa_amd_memory_unlock((void *)0x123000));

    // One byte in the middle of a page: its offset stays, and copies through the alias are copies of it.
    char *page = pages(PAGE, PROT_READ | PROT_WRITE);
    page[99] = 'a', page[100] = 'b', page[101] = 'c';
    HSA(hsa_amd_memory_lock(page + 100, 1, &gpu, 1, &alias));
    EXPECT(alias != page + 100 && (uintptr_t)alias % PAGE == 100);
    copy(device, alias, 1);
    page[100] = 'x';
    copy(alias, device, 1);
    EXPECT(page[99] == 'a' && page[100] == 'b' && page[101] == 'c');
    hsa_signal_t end;
    HSA(hsa_signal_create(1, 0, NULL, &end));
    // Beyond what is locked there is nothing, though it is the same page.
    EXPECT(hsa_amd_memory_async_copy(device, gpu, alias, gpu, 2, 0, NULL, end) != HSA_STATUS_SUCCESS);
    hsa_amd_pointer_info_t info = {.size = sizeof info};
    HSA(hsa_amd_pointer_info(alias, &info, NULL, NULL, NULL));
    EXPECT(info.type == HSA_EXT_POINTER_TYPE_LOCKED && info.hostBaseAddress == page + 100 && info.sizeInBytes == 1);
    HSA(hsa_amd_pointer_info(page + 100, &info, NULL, NULL, NULL));
    EXPECT(info.type == HSA_EXT_POINTER_TYPE_LOCKED && info.agentBaseAddress == alias);
    HSA(hsa_amd_pointer_info(page + 101, &info, NULL, NULL, NULL));
    EXPECT(info.type == HSA_EXT_POINTER_TYPE_UNKNOWN);

    // Twice, each with an alias; the first to be unlocked leaves the other one.
    HSA(hsa_amd_memory_lock(page + 100, 1, &gpu, 1, &again));
    EXPECT(again != alias);
    HSA(hsa_amd_memory_unlock(page + 100));
    copy(device, alias, 1);
    HSA(hsa_amd_memory_unlock(page + 100));
    EXPECT(hsa_amd_memory_async_copy(device, gpu, alias, gpu, 1, 0, NULL, end) != HSA_STATUS_SUCCESS);
    HSA(hsa_amd_memory_unlock(page + 100));

    // The device's own memory is what it is.
    HSA(hsa_amd_memory_lock(device, PAGE, &gpu, 1, &alias));
    EXPECT(alias == device);

    // Overlapping ranges, read-only ones, ones with a hole, and ones that are gone before they are unlocked.
    char *range = pages(16 * PAGE, PROT_READ | PROT_WRITE);
    memset(range, 5, 16 * PAGE);
    HSA(hsa_amd_memory_lock(range, 10 * PAGE, &gpu, 1, &alias));
    HSA(hsa_amd_memory_lock(range + 5 * PAGE, 10 * PAGE, &gpu, 1, &again));
    copy(device, (char *)alias + 6 * PAGE, PAGE);
    copy(device, (char *)again + PAGE, PAGE);
    HSA(hsa_amd_memory_unlock(range));
    copy(device, again, 10 * PAGE);
    EXPECT(munmap(range, 16 * PAGE) == 0);
    HSA(hsa_amd_memory_unlock(range + 5 * PAGE));
    char *constant = pages(PAGE, PROT_READ);
    HSA(hsa_amd_memory_lock(constant, PAGE, &gpu, 1, &alias));
    copy(device, alias, PAGE);
    HSA(hsa_amd_memory_unlock(constant));

    // Locking costs addresses and a message, no pages: far more than the host memory a tenant may have.
    size_t large = (size_t)8 << 30;
    char *nothing = mmap(NULL, large, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(nothing != MAP_FAILED);
    HSA(hsa_amd_memory_lock(nothing, large, &gpu, 1, &alias));
    nothing[large - 1] = 42;
    copy(device, (char *)alias + large - 1, 1);
    char got = 0;
    HSA(hsa_amd_memory_lock(&got, 1, &gpu, 1, &again));
    copy(again, device, 1);
    EXPECT(got == 42);
    HSA(hsa_amd_memory_unlock(&got));
    HSA(hsa_amd_memory_unlock(nothing));

    // Many at a time, taken back in another order.
    char *many = pages((size_t)MANY * PAGE, PROT_READ | PROT_WRITE);
    static void *aliases[MANY];
    for (int i = 0; i < MANY; i++) {
        many[(size_t)i * PAGE] = (char)i;
        HSA(hsa_amd_memory_lock(many + (size_t)i * PAGE, 8, &gpu, 1, &aliases[i]));
    }
    for (int i = 0; i < MANY; i += 97) {
        copy(device, aliases[i], 8);
        copy(&got, device, 1);
        EXPECT(got == (char)i);
    }
    for (int i = 0; i < MANY; i++) {
        int k = (int)((long)i * 1009 % MANY);
        HSA(hsa_amd_memory_unlock(many + (size_t)k * PAGE));
    }
    HSA(hsa_amd_pointer_info(many, &info, NULL, NULL, NULL));
    EXPECT(info.type == HSA_EXT_POINTER_TYPE_UNKNOWN);
    HSA(hsa_signal_destroy(end));
    HSA(hsa_amd_memory_pool_free(device));
    HSA(hsa_shut_down());
    return done("hsa_locked");
}
