// The ground that `canary` and `canary_write` share: which hardware they cover, and register lists for the assembler.
//
// A work-group is four waves, each with all 512 vector registers of a lane (v and a), and takes all 64 KiB of
// LDS: so it fills a compute unit of CDNA2 or CDNA3 alone, and two such work-groups on one compute unit use the same
// cells. v0-v15 and s0-s35 are left to the compiler (it reserves s32 as stack pointer);
// v16-v255, a0-a255 and s36-s95 are ours.
#pragma once
#include "device.h"

#define ITEMS 256u
#define LDS_WORDS 16384u
#define CANARY_GROUP GROUP_SIZE(ITEMS, 1) __attribute__((amdgpu_waves_per_eu(1, 1)))

#define TEN(r, t) r #t "0", r #t "1", r #t "2", r #t "3", r #t "4", r #t "5", r #t "6", r #t "7", r #t "8", r #t "9"
#define TEENS(r) r "16", r "17", r "18", r "19"
#define UNTIL_99(r) TEN(r, 4), TEN(r, 5), TEN(r, 6), TEN(r, 7), TEN(r, 8), TEN(r, 9)
#define UNTIL_255(r)                                                                                                   \
    TEN(r, 10), TEN(r, 11), TEN(r, 12), TEN(r, 13), TEN(r, 14), TEN(r, 15), TEN(r, 16), TEN(r, 17), TEN(r, 18),         \
        TEN(r, 19), TEN(r, 20), TEN(r, 21), TEN(r, 22), TEN(r, 23), TEN(r, 24), r "250", r "251", r "252", r "253",    \
        r "254", r "255"

// The same, as clobber lists.
#define VECTOR_REGISTERS TEENS("v"), TEN("v", 2), TEN("v", 3), UNTIL_99("v"), UNTIL_255("v")
#define ACCUMULATION_REGISTERS TEN("a", ), TEN("a", 1), TEN("a", 2), TEN("a", 3), UNTIL_99("a"), UNTIL_255("a")
#define SCALAR_REGISTERS                                                                                               \
    "s36", "s37", "s38", "s39", TEN("s", 4), TEN("s", 5), TEN("s", 6), TEN("s", 7), TEN("s", 8), \
        "s90", "s91", "s92", "s93", "s94", "s95"
