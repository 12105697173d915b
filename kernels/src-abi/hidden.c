// Tells what it was given beside its arguments, as each code object version (`ABI`, 4 to 6) lays it out: every hidden argument that a compiler
// of this family emits for GFX9, and the addresses that the packet processor puts into scalar registers.
//
// C and not OpenCL C, which has no LDS of a size that the launch decides; `printf` makes the compiler ask for the buffer that it prints into. Version 4 has
// one place for that buffer and for the one of host calls: `HOSTCALL` says which.
//
// Sources: LLVM "User Guide for AMDGPU Backend", kernel argument metadata of V4 and V5; what `amdgcn` makes of `printf` in the same guide's
// and in ROCm's device libraries (a header of an offset and a size in bytes, then one record after the other: format, then values).
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;

#define GLOBAL __attribute__((address_space(1)))
#define LOCAL __attribute__((address_space(3)))
#define CONSTANT __attribute__((address_space(4)))
#define HIDDEN(type, at) (*(CONSTANT const type *)((CONSTANT const uchar *)__builtin_amdgcn_implicitarg_ptr() + (at)))

// As many words as the launch says.
extern LOCAL uint dynamic[];

#ifndef HOSTCALL
int printf(CONSTANT const char *, ...);

// Where a record of so many bytes goes, or null.
GLOBAL char *__printf_alloc(uint bytes) {
    GLOBAL uint *buffer = (GLOBAL uint *)HIDDEN(ulong, ABI >= 5 ? 72 : 24);
    uint at = __atomic_fetch_add(buffer, bytes, __ATOMIC_RELAXED);
    return at + bytes <= buffer[1] ? (GLOBAL char *)(buffer + 2) + at : 0;
}
#endif

// The first work-item of each work-group writes 32 words. `lds_words` is the length of `dynamic`; version 5 and later tell it too.
__attribute__((amdgpu_kernel, visibility("protected"))) void hidden(GLOBAL ulong *out, uint marker, uint groups_x,
                                                                    uint groups_y, uint lds_words) {
    if (__builtin_amdgcn_workitem_id_x() | __builtin_amdgcn_workitem_id_y() | __builtin_amdgcn_workitem_id_z())
        return;
    uint group = __builtin_amdgcn_workgroup_id_x() +
                 groups_x * (__builtin_amdgcn_workgroup_id_y() + groups_y * __builtin_amdgcn_workgroup_id_z());
    GLOBAL ulong *record = out + 32 * group;
#if ABI >= 5
    record[0] = HIDDEN(uint, 0);
    record[1] = HIDDEN(uint, 4);
    record[2] = HIDDEN(uint, 8);
    record[3] = HIDDEN(ushort, 12);
    record[4] = HIDDEN(ushort, 14);
    record[5] = HIDDEN(ushort, 16);
    record[6] = HIDDEN(ushort, 18);
    record[7] = HIDDEN(ushort, 20);
    record[8] = HIDDEN(ushort, 22);
    record[9] = HIDDEN(ulong, 40);
    record[10] = HIDDEN(ulong, 48);
    record[11] = HIDDEN(ulong, 56);
    record[12] = HIDDEN(ushort, 64);
    record[13] = HIDDEN(ulong, 72);
    record[14] = HIDDEN(ulong, 80);
    record[15] = HIDDEN(ulong, 88);
    record[16] = HIDDEN(ulong, 96);
    record[17] = HIDDEN(ulong, 104);
    record[18] = HIDDEN(ulong, 112);
    record[19] = HIDDEN(uint, 120);
    record[20] = HIDDEN(ulong, 200);
    lds_words = HIDDEN(uint, 120) / 4;
#else
    record[0] = HIDDEN(ulong, 0);
    record[1] = HIDDEN(ulong, 8);
    record[2] = HIDDEN(ulong, 16);
    record[3] = HIDDEN(ulong, 24);
    record[4] = HIDDEN(ulong, 32);
    record[5] = HIDDEN(ulong, 40);
    record[6] = HIDDEN(ulong, 48);
#endif
    record[28] = (ulong)__builtin_amdgcn_dispatch_ptr();
#if ABI < 5
    // From version 5 on it is a hidden argument and in no register.
    record[29] = (ulong)__builtin_amdgcn_queue_ptr();
#endif
    // All of it is there: the first and the last word.
    dynamic[0] = marker;
    dynamic[lds_words - 1] = marker + group;
    record[31] = (ulong)dynamic[lds_words - 1] << 32 | dynamic[0];
#ifndef HOSTCALL
    printf((CONSTANT const char *)"%u", marker + group);
#endif
}
