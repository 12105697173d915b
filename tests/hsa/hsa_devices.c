// Every agent there is: whose memory is whose and who may see it, queues of each that wait for the others' signals, copies from one to the next. With
// one device it is right, too.
#include "check.h"
#include <dlfcn.h>

enum { MOST = 8, BYTES = 1 << 20 };

static hsa_agent_t gpus[MOST];
static hsa_amd_memory_pool_t pools[MOST];
static int count;

static hsa_status_t each_gpu(hsa_agent_t agent, void *unused) {
    (void)unused;
    hsa_device_type_t type;
    HSA(hsa_agent_get_info(agent, HSA_AGENT_INFO_DEVICE, &type));
    if (type == HSA_DEVICE_TYPE_GPU && count < MOST) gpus[count++] = agent;
    return HSA_STATUS_SUCCESS;
}

// Which agents see memory: bit 0 for the host, bit 1 for the first device, and so on.
static unsigned seen_by(void *memory) {
    hsa_amd_pointer_info_t info = {.size = sizeof info};
    hsa_agent_t *list = NULL;
    uint32_t listed = 0;
    HSA(hsa_amd_pointer_info(memory, &info, malloc, &listed, &list));
    unsigned set = 0;
    for (uint32_t at = 0; at < listed; at++) {
        if (list[at].handle == cpu.handle) set |= 1;
        for (int d = 0; d < count; d++)
            if (list[at].handle == gpus[d].handle) set |= 2u << d;
    }
    free(list);
    return set;
}

static hsa_amd_memory_pool_access_t access_of(hsa_agent_t agent, hsa_amd_memory_pool_t pool) {
    hsa_amd_memory_pool_access_t access;
    HSA(hsa_amd_agent_memory_pool_get_info(agent, pool, HSA_AMD_AGENT_MEMORY_POOL_INFO_ACCESS, &access));
    return access;
}

static void pools_and_access(void) {
    unsigned all = 1;
    for (int d = 0; d < count; d++) all |= 2u << d;
    char *host;
    HSA(hsa_amd_memory_pool_allocate(cpu_pool, BYTES, 0, (void **)&host));
    EXPECT((seen_by(host) & 3) == 3);
    HSA(hsa_amd_agents_allow_access(count, gpus, NULL, host));
    EXPECT(seen_by(host) == all);
    for (int d = 0; d < count; d++) {
        EXPECT(access_of(cpu, pools[d]) == HSA_AMD_MEMORY_POOL_ACCESS_NEVER_ALLOWED);
        EXPECT(access_of(gpus[d], cpu_pool) == HSA_AMD_MEMORY_POOL_ACCESS_DISALLOWED_BY_DEFAULT);
        char *own;
        HSA(hsa_amd_memory_pool_allocate(pools[d], BYTES, 0, (void **)&own));
        EXPECT(seen_by(own) == (1 | 2u << d));
        for (int e = 0; e < count; e++) {
            hsa_amd_memory_pool_access_t can = access_of(gpus[e], pools[d]);
            EXPECT(can == (e == d ? HSA_AMD_MEMORY_POOL_ACCESS_ALLOWED_BY_DEFAULT
                                  : HSA_AMD_MEMORY_POOL_ACCESS_DISALLOWED_BY_DEFAULT));
            // What is allowed last counts.
            HSA(hsa_amd_agents_allow_access(1, &gpus[e], NULL, own));
            EXPECT(seen_by(own) == (1 | 2u << d | 2u << e));
        }
        HSA(hsa_amd_agents_allow_access(count, gpus, NULL, own));
        EXPECT(seen_by(own) == all);
        hsa_agent_t nobody = {77};
        EXPECT(hsa_amd_agents_allow_access(1, &nobody, NULL, own) == HSA_STATUS_ERROR_INVALID_AGENT);
        HSA(hsa_amd_memory_pool_free(own));
    }
    HSA(hsa_amd_memory_pool_free(host));
}

// A packet on every queue waits for the one before, whichever device that is on; the first for the host.
static void chain(void) {
    hsa_queue_t *queues[MOST];
    hsa_signal_t links[MOST + 1];
    HSA(hsa_signal_create(1, 0, NULL, &links[0]));
    for (int d = 0; d < count; d++) {
        HSA(hsa_queue_create(gpus[d], 64, HSA_QUEUE_TYPE_MULTI, NULL, NULL, UINT32_MAX, UINT32_MAX, &queues[d]));
        HSA(hsa_signal_create(1, 0, NULL, &links[d + 1]));
        hsa_barrier_and_packet_t *packet = (hsa_barrier_and_packet_t *)queues[d]->base_address;
        EXPECT(hsa_queue_add_write_index_screlease(queues[d], 1) == 0);
        memset((char *)packet + 4, 0, sizeof *packet - 4);
        packet->dep_signal[0] = links[d];
        packet->completion_signal = links[d + 1];
        uint16_t header = HSA_PACKET_TYPE_BARRIER_AND << HSA_PACKET_HEADER_TYPE;
        __atomic_store_n((uint32_t *)packet, header, __ATOMIC_RELEASE);
        hsa_signal_store_screlease(queues[d]->doorbell_signal, 0);
    }
    EXPECT(hsa_signal_load_scacquire(links[count]) == 1);
    hsa_signal_subtract_screlease(links[0], 1);
    wait_for(links[count]);
    for (int d = 0; d < count; d++) HSA(hsa_queue_destroy(queues[d]));
    for (int d = 0; d <= count; d++) HSA(hsa_signal_destroy(links[d]));
}

// Bytes go from the host through all devices and back, each copy after the one before.
static void copies(void) {
    unsigned char *memory[MOST], *host = malloc(BYTES);
    hsa_signal_t steps[MOST + 1];
    for (int i = 0; i < BYTES; i++) host[i] = (unsigned char)(i * 7 + i / 251);
    for (int d = 0; d < count; d++) {
        HSA(hsa_amd_memory_pool_allocate(pools[d], BYTES, 0, (void **)&memory[d]));
        HSA(hsa_signal_create(1, 0, NULL, &steps[d]));
    }
    HSA(hsa_signal_create(1, 0, NULL, &steps[count]));
    HSA(hsa_amd_memory_async_copy(memory[0], gpus[0], host, cpu, BYTES, 0, NULL, steps[0]));
    for (int d = 1; d < count; d++)
        HSA(hsa_amd_memory_async_copy(memory[d], gpus[d], memory[d - 1], gpus[d - 1], BYTES, 1, &steps[d - 1], steps[d]));
    unsigned char *back = calloc(1, BYTES);
    HSA(hsa_amd_memory_async_copy(back, cpu, memory[count - 1], gpus[count - 1], BYTES, 1, &steps[count - 1], steps[count]));
    wait_for(steps[count]);
    EXPECT(memcmp(host, back, BYTES) == 0);
    for (int d = 0; d < count; d++) HSA(hsa_amd_memory_pool_free(memory[d]));
    for (int d = 0; d <= count; d++) HSA(hsa_signal_destroy(steps[d]));
    free(host);
    free(back);
}

// The virtual-memory interface, which the headers of ROCr 5 do not have: memory of the last device, at addresses that the first may use.
static void mapped(void) {
    struct { int permission; hsa_agent_t agent; } all[MOST];
    enum { NONE, RO, WO, RW };
    hsa_status_t (*reserve)(void **, size_t, uint64_t, uint64_t) = dlsym(RTLD_DEFAULT, "hsa_amd_vmem_address_reserve");
    hsa_status_t (*create)(hsa_amd_memory_pool_t, size_t, int, uint64_t, uint64_t *) = dlsym(RTLD_DEFAULT, "hsa_amd_vmem_handle_create");
    hsa_status_t (*map)(void *, size_t, size_t, uint64_t, uint64_t) = dlsym(RTLD_DEFAULT, "hsa_amd_vmem_map");
    hsa_status_t (*set)(void *, size_t, const void *, size_t) = dlsym(RTLD_DEFAULT, "hsa_amd_vmem_set_access");
    hsa_status_t (*get)(void *, int *, hsa_agent_t) = dlsym(RTLD_DEFAULT, "hsa_amd_vmem_get_access");
    hsa_status_t (*unmap)(void *, size_t) = dlsym(RTLD_DEFAULT, "hsa_amd_vmem_unmap");
    hsa_status_t (*release)(uint64_t) = dlsym(RTLD_DEFAULT, "hsa_amd_vmem_handle_release");
    hsa_status_t (*give_back)(void *, size_t) = dlsym(RTLD_DEFAULT, "hsa_amd_vmem_address_free");
    EXPECT(reserve && create && map && set && get && unmap && release && give_back);
    char *at;
    uint64_t handle;
    HSA(reserve((void **)&at, BYTES, 0, 0));
    HSA(create(pools[count - 1], BYTES, 0, 0, &handle));
    HSA(map(at, BYTES, 0, handle, 0));
    for (int last = 0; last < count; last++) {
        for (int d = 0; d < count; d++) {
            all[d].permission = d == last ? RW : NONE;
            all[d].agent = gpus[d];
        }
        HSA(set(at, BYTES, all, count));
        at[last] = (char)(last + 1);
        for (int d = 0; d < count; d++) {
            int permission = -1;
            HSA(get(at, &permission, gpus[d]));
            EXPECT(permission == all[d].permission && at[d] == (d <= last ? d + 1 : 0));
        }
    }
    HSA(unmap(at, BYTES));
    HSA(release(handle));
    HSA(give_back(at, BYTES));
}

int main(void) {
    begin();
    HSA(hsa_iterate_agents(each_gpu, NULL));
    EXPECT(count > 0);
    for (int d = 0; d < count; d++)
        EXPECT(hsa_amd_agent_iterate_memory_pools(gpus[d], each_pool, &pools[d]) == HSA_STATUS_INFO_BREAK);
    if (getenv("EXPECT_DEVICES")) EXPECT(count == atoi(getenv("EXPECT_DEVICES")));
    pools_and_access();
    chain();
    copies();
    mapped();
    HSA(hsa_shut_down());
    return done("hsa_devices");
}
