// Two levels of real calls with values kept alive across them: return addresses, stack pointer, saved registers.
#include "device.h"

__attribute__((noinline)) static uint gcd(uint a, uint b) {
    while (b != 0) {
        // Subtraction instead of division keeps the compiler's long division out of the way.
        if (a < b) {
            uint t = a;
            a = b;
            b = t;
        }
        a -= b;
        if (a == 0)
            return b;
    }
    return a;
}

// Twice through gcd: the second call needs what the first one must not destroy.
__attribute__((noinline)) static uint gcd_of_three(uint a, uint b, uint c) {
    uint first = gcd(a, b);
    uint second = gcd(b, c);
    return first * 65536u + gcd(first, second) * 256u + (a & 0xffu);
}

GROUP_SIZE(64, 1)
kernel void call(global const uint *restrict input, global uint *restrict out, uint n) {
    uint i = global_index(64);
    if (i >= n)
        return;
    global const uint *triple = input + 3 * (ulong)i;
    uint forward = gcd_of_three(triple[0], triple[1], triple[2]);
    uint backward = gcd_of_three(triple[2], triple[1], triple[0]);
    out[i] = forward ^ (backward << 1);
}
