// Clears what earlier programs left in the registers and the LDS of every compute unit of a device.
//
// A work-group cannot choose its compute unit, so coverage is counted: as many waves are started as the device holds at once of this shape, each
// waits until all have arrived, and only then clears what was allocated to it. If all were there at the same moment, they held
// everything of that kind that there is. A wave that waited in vain leaves without being counted, and the host starts fewer or gives up.
//
//   scrub_vector   all vector registers (and accumulation registers) and all LDS: a work-group takes a compute unit, or the like of it
//   scrub_scalar   scalar registers, as many a wave as there can be
//   scrub_slots    scalar registers of every wave slot, where a wave with all of them leaves slots empty (GFX7 to GFX9)
//
// `counters`, in device memory, holds two zeros before and after. The last wave to be counted stores `waves` to `told`, in host memory. The
// program ends inside the assembly, so that nothing is in a register that was not written there.
#include "device.h"

// What processors differ in, beside their generation.
#if defined(__gfx90a__) || defined(__gfx940__) || defined(__gfx941__) || defined(__gfx942__)
#define SCRUB_ACCUMULATION
#define SCRUB_EIGHT_SLOTS
#elif defined(__gfx908__)
#define SCRUB_ACCUMULATION
#elif defined(__gfx802__) || defined(__gfx805__)
#define SCRUB_NINETY_SIX
#elif defined(__gfx1100__) || defined(__gfx1101__) || defined(__gfx1151__) || defined(__GFX12__)
#define SCRUB_WIDE_FILE
#endif

#if defined(__GFX7__) || defined(__GFX8__) || defined(__GFX9__)
#define WAVE 64u
#define EXEC_ALL "s_mov_b64 exec, -1\n"
#else
#define WAVE 32u
#define EXEC_ALL "s_mov_b32 exec_lo, -1\n"
#endif

// Vector registers of a wave such that whole waves fill a SIMD, and the work-items that fill a compute unit with them.
#if defined(SCRUB_WIDE_FILE)
// 1536 registers a SIMD, in granules of 24: eight waves of 192.
#define VECTOR_ITEMS 512u
#define VECTOR_LAST "v190"
#define VECTOR_COUNT "192"
#else
#define VECTOR_ITEMS 256u
#define VECTOR_LAST "v254"
#define VECTOR_COUNT "256"
#endif

#if defined(SCRUB_ACCUMULATION)
#define ACCUMULATION ".set reg, 0\n.rept 256\n  v_accvgpr_write_b32 a[reg], 0\n  .set reg, reg+1\n.endr\n"
#define ACCUMULATION_LAST , "a255"
#else
#define ACCUMULATION ""
#define ACCUMULATION_LAST
#endif

// Scalar registers: what a wave can have, and what all slots of a SIMD can have at once. The register named to the compiler is one that
// makes it ask for enough; the last few it keeps to itself.
#if defined(SCRUB_NINETY_SIX)
// Every wave has 96, needed or not.
#define SCALAR_LAST "s79"
#define SCALAR_COUNT "90"
#elif defined(__GFX7__)
#define SCALAR_LAST "s95"
#define SCALAR_COUNT "102"
#define SLOTS_LAST "s59"
#define SLOTS_COUNT "60"
#elif defined(__GFX8__) || defined(__GFX9__)
#define SCALAR_LAST "s95"
#define SCALAR_COUNT "102"
#if defined(SCRUB_EIGHT_SLOTS)
#define SLOTS_LAST "s89"
#define SLOTS_COUNT "90"
#else
#define SLOTS_LAST "s73"
#define SLOTS_COUNT "74"
#endif
#else
#define SCALAR_LAST "s95"
#define SCALAR_COUNT "106"
#endif

// Pairs that have names of their own.
#if defined(__GFX7__) || defined(__GFX8__) || (defined(__GFX9__) && !defined(__gfx940__) && !defined(__gfx941__) && !defined(__gfx942__))
#define CLEAR_FLAT_SCRATCH "s_mov_b64 flat_scratch, 0\n"
#else
#define CLEAR_FLAT_SCRATCH ""
#endif
#if defined(__GFX9__)
#define CLEAR_XNACK_MASK "s_mov_b64 xnack_mask, 0\n"
#else
#define CLEAR_XNACK_MASK ""
#endif

#define LDS_WORDS 16384u
#define SCALAR_ITEMS (4 * WAVE)

#define CLEAR_VECTORS(count) EXEC_ALL ".set reg, 0\n.rept " count "\n  v_mov_b32 v[reg], 0\n  .set reg, reg+1\n.endr\n"
#define CLEAR_SCALARS(count)                                                                                           \
    ".set reg, 0\n.rept " count "\n  s_mov_b32 s[reg], 0\n  .set reg, reg+1\n.endr\n"                                  \
    CLEAR_FLAT_SCRATCH CLEAR_XNACK_MASK "s_mov_b32 vcc_lo, 0\ns_mov_b32 vcc_hi, 0\ns_mov_b32 m0, 0\n"
#define END "s_endpgm\n"

// Waits until all waves are there, `patience` looks at most; counts those who saw it.
static inline void meet(global atomic_uint *counters, global uint *told, uint waves, uint patience) {
    if (LOCAL_X % WAVE != 0)
        return;
    __opencl_atomic_fetch_add(&counters[0], 1, memory_order_relaxed, memory_scope_device);
    for (uint look = 0; look < patience; look++) {
        if (__opencl_atomic_load(&counters[0], memory_order_relaxed, memory_scope_device) >= waves) {
            uint before = __opencl_atomic_fetch_add(&counters[1], 1, memory_order_relaxed, memory_scope_device);
            if (before == waves - 1) {
                __opencl_atomic_store(&counters[0], 0, memory_order_relaxed, memory_scope_device);
                __opencl_atomic_store(&counters[1], 0, memory_order_relaxed, memory_scope_device);
                *told = waves;
            }
            return;
        }
        __builtin_amdgcn_s_sleep(1);
    }
}

// Nothing may be on its way from or to a register that is about to be cleared.
#define SETTLE() __builtin_amdgcn_fence(__ATOMIC_SEQ_CST, "")

GROUP_SIZE(VECTOR_ITEMS, 1) __attribute__((amdgpu_waves_per_eu(1)))
kernel void scrub_vector(global atomic_uint *counters, global uint *told, uint waves, uint patience) {
    local volatile uint lds[LDS_WORDS];
    meet(counters, told, waves, patience);
    for (uint i = LOCAL_X; i < LDS_WORDS; i += VECTOR_ITEMS)
        lds[i] = 0;
    SETTLE();
    __asm__ volatile(CLEAR_VECTORS(VECTOR_COUNT) ACCUMULATION CLEAR_SCALARS(SCALAR_COUNT) END
                     ::: "memory", VECTOR_LAST ACCUMULATION_LAST, SCALAR_LAST);
}

GROUP_SIZE(SCALAR_ITEMS, 1)
kernel void scrub_scalar(global atomic_uint *counters, global uint *told, uint waves, uint patience) {
    meet(counters, told, waves, patience);
    SETTLE();
    __asm__ volatile(CLEAR_SCALARS(SCALAR_COUNT) END ::: "memory", SCALAR_LAST);
}

#if defined(SLOTS_LAST)
GROUP_SIZE(SCALAR_ITEMS, 1)
kernel void scrub_slots(global atomic_uint *counters, global uint *told, uint waves, uint patience) {
    meet(counters, told, waves, patience);
    SETTLE();
    __asm__ volatile(CLEAR_SCALARS(SLOTS_COUNT) END ::: "memory", SLOTS_LAST);
}
#endif
