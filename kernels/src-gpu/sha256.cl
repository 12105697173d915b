// digests[i] = the SHA-256 compression (FIPS 180-4) of message block i, from the initial hash value.
//
// One block a work-item, without padding: 64 bytes in, 32 bytes out, all words little-endian as they lie.
#include "device.h"

constant uint ROUND_CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint rotate_right(uint x, uint by) { return x >> by | x << (32 - by); }

GROUP_SIZE(64, 1)
kernel void sha256(global const uint *restrict blocks, global uint *restrict digests, uint n) {
    uint index = global_index(64);
    if (index >= n)
        return;
    uint w[16];
    for (uint k = 0; k < 16; k++)
        w[k] = blocks[16 * index + k];
    uint a = 0x6a09e667, b = 0xbb67ae85, c = 0x3c6ef372, d = 0xa54ff53a;
    uint e = 0x510e527f, f = 0x9b05688c, g = 0x1f83d9ab, h = 0x5be0cd19;
    uint start[8] = {a, b, c, d, e, f, g, h};
#pragma unroll 16
    for (uint k = 0; k < 64; k++) {
        if (k >= 16) {
            uint x = w[(k + 1) % 16], y = w[(k + 14) % 16];
            uint s0 = rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3;
            uint s1 = rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10;
            w[k % 16] += s0 + w[(k + 9) % 16] + s1;
        }
        uint t1 = h + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) + ((e & f) ^ (~e & g)) +
                  ROUND_CONSTANTS[k] + w[k % 16];
        uint t2 = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    uint end[8] = {a, b, c, d, e, f, g, h};
    for (uint k = 0; k < 8; k++)
        digests[8 * index + k] = start[k] + end[k];
}
