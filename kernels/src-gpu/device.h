// What every program here shares: names for the compiler builtins that stand in for the OpenCL library.
//
// The programs are freestanding: no device library is linked, so whatever a program does is in its own
// file, and a rebuild needs nothing but clang and lld. Only builtins that become instructions (or loads from
// the dispatch packet and the hidden arguments) are used.
#pragma once

#define LOCAL_X __builtin_amdgcn_workitem_id_x()
#define LOCAL_Y __builtin_amdgcn_workitem_id_y()
#define GROUP_X __builtin_amdgcn_workgroup_id_x()
#define GROUP_Y __builtin_amdgcn_workgroup_id_y()

// A program states the work-group size it is written for; the object's metadata repeats it.
#define GROUP_SIZE(x, y) __attribute__((reqd_work_group_size(x, y, 1)))

// The index of this work-item in a one-dimensional grid of work-groups of `group_size`.
static inline uint global_index(uint group_size) { return GROUP_X * group_size + LOCAL_X; }

// Waits for the whole work-group; LDS written before is seen after.
static inline void group_barrier(void) {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
}
