// What every program here shares: they use the library as C sees it, and find the way that a hostile or careless program would.
#pragma once
#define _GNU_SOURCE
#include <hsa/hsa.h>
#include <hsa/hsa_ext_amd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition)                                                                                        \
    do {                                                                                                         \
        if (!(condition)) {                                                                                      \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                       \
            fflush(stdout);                                                                                      \
            exit(1);                                                                                             \
        }                                                                                                        \
    } while (0)

#define HSA(call) EXPECT((call) == HSA_STATUS_SUCCESS)

static hsa_agent_t gpu, cpu;
static hsa_amd_memory_pool_t gpu_pool, cpu_pool;

static hsa_status_t each_pool(hsa_amd_memory_pool_t pool, void *into) {
    hsa_amd_segment_t segment;
    HSA(hsa_amd_memory_pool_get_info(pool, HSA_AMD_MEMORY_POOL_INFO_SEGMENT, &segment));
    if (segment != HSA_AMD_SEGMENT_GLOBAL) return HSA_STATUS_SUCCESS;
    *(hsa_amd_memory_pool_t *)into = pool;
    return HSA_STATUS_INFO_BREAK;
}

static hsa_status_t each_agent(hsa_agent_t agent, void *unused) {
    (void)unused;
    hsa_device_type_t type;
    HSA(hsa_agent_get_info(agent, HSA_AGENT_INFO_DEVICE, &type));
    if (type == HSA_DEVICE_TYPE_GPU) gpu = agent;
    if (type == HSA_DEVICE_TYPE_CPU) cpu = agent;
    return HSA_STATUS_SUCCESS;
}

static inline void begin(void) {
    HSA(hsa_init());
    HSA(hsa_iterate_agents(each_agent, NULL));
    EXPECT(gpu.handle && cpu.handle);
    EXPECT(hsa_amd_agent_iterate_memory_pools(gpu, each_pool, &gpu_pool) == HSA_STATUS_INFO_BREAK);
    EXPECT(hsa_amd_agent_iterate_memory_pools(cpu, each_pool, &cpu_pool) == HSA_STATUS_INFO_BREAK);
}

// Puts a packet into a queue that does nothing but complete.
static inline void barrier(hsa_queue_t *queue, hsa_signal_t done) {
    uint64_t at = hsa_queue_add_write_index_screlease(queue, 1);
    while (at - hsa_queue_load_read_index_scacquire(queue) >= queue->size) {}
    hsa_barrier_and_packet_t *packet = (hsa_barrier_and_packet_t *)queue->base_address + at % queue->size;
    memset((char *)packet + 4, 0, sizeof *packet - 4);
    packet->completion_signal = done;
    uint16_t header = HSA_PACKET_TYPE_BARRIER_AND << HSA_PACKET_HEADER_TYPE;
    __atomic_store_n((uint32_t *)packet, header, __ATOMIC_RELEASE);
    hsa_signal_store_screlease(queue->doorbell_signal, (hsa_signal_value_t)at);
}

static inline void wait_for(hsa_signal_t signal) {
    EXPECT(hsa_signal_wait_scacquire(signal, HSA_SIGNAL_CONDITION_LT, 1, 20000000000u, HSA_WAIT_STATE_BLOCKED) < 1);
}

static inline int done(const char *what) {
    printf("ok: %s\n", what);
    return 0;
}
