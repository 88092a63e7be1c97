/* Hashes of names in indexed directories: filesystems/ext4, "hash tree directories". */
#include "fs/ext4/priv.h"
#include "lib/string.h"

#define EOF_HASH 0x7fffffffu

static u32 rotate(u32 v, u32 by)
{
    return v << by | v >> (32 - by);
}

static u32 mix1(u32 x, u32 y, u32 z)
{
    return z ^ (x & (y ^ z));
}
static u32 mix2(u32 x, u32 y, u32 z)
{
    return (x & y) + ((x ^ y) & z);
}
static u32 mix3(u32 x, u32 y, u32 z)
{
    return x ^ y ^ z;
}

/* Half of the MD4 transform (RFC 1320): eight steps a round. */
static void half_md4(u32 hash[4], const u32 in[8])
{
    static const struct {
        u32 (*mix)(u32, u32, u32);
        u32 add;
        u8 shift[4], word[8];
    } rounds[] = {
        {mix1, 0,            {3, 7, 11, 19}, {0, 1, 2, 3, 4, 5, 6, 7}},
        {mix2, 013240474631, {3, 5, 9, 13},  {1, 3, 5, 7, 0, 2, 4, 6}},
        {mix3, 015666365641, {3, 9, 11, 15}, {3, 7, 2, 6, 1, 5, 0, 4}},
    };
    u32 v[4] = {hash[0], hash[1], hash[2], hash[3]};

    for (u32 r = 0; r < ARRAY_LEN(rounds); r++) {
        for (u32 i = 0; i < 8; i++) {
            u32 *a = &v[(4 - i) & 3], b = v[(5 - i) & 3], c = v[(6 - i) & 3], d = v[(7 - i) & 3];
            *a += rounds[r].mix(b, c, d) + in[rounds[r].word[i]] + rounds[r].add;
            *a = rotate(*a, rounds[r].shift[i & 3]);
        }
    }
    for (u32 i = 0; i < 4; i++)
        hash[i] += v[i];
}

static void tea(u32 hash[4], const u32 in[4])
{
    u32 sum = 0, b0 = hash[0], b1 = hash[1];

    for (u32 i = 0; i < 16; i++) {
        sum += 0x9e3779b9;
        b0 += ((b1 << 4) + in[0]) ^ (b1 + sum) ^ ((b1 >> 5) + in[1]);
        b1 += ((b0 << 4) + in[2]) ^ (b0 + sum) ^ ((b0 >> 5) + in[3]);
    }
    hash[0] += b0;
    hash[1] += b1;
}

/* The next @words words of the name, filled up with its length. */
static void to_words(const char *name, size_t len, u32 *out, u32 words, bool is_signed)
{
    u32 pad = (u32)len | (u32)len << 8;
    size_t n = min(len, (size_t)words * 4);
    u32 val, done = 0;

    pad |= pad << 16;
    val = pad;
    for (size_t i = 0; i < n; i++) {
        u32 c = is_signed ? (u32)(s32)(s8)name[i] : (u8)name[i];
        val = c + (val << 8);
        if (i % 4 == 3) {
            out[done++] = val;
            val = pad;
        }
    }
    if (done < words)
        out[done++] = val;
    while (done < words)
        out[done++] = pad;
}

static u32 legacy(const char *name, size_t len, bool is_signed)
{
    u32 hash0 = 0x12a3fe2d, hash1 = 0x37abe8f9;

    for (size_t i = 0; i < len; i++) {
        u32 c = is_signed ? (u32)(s32)(s8)name[i] : (u8)name[i];
        u32 hash = hash1 + (hash0 ^ (c * 7152373));
        if (hash & 0x80000000)
            hash -= 0x7fffffff;
        hash1 = hash0;
        hash0 = hash;
    }
    return hash0 << 1;
}

void ext4_hash_name(const struct ext4_fs *fs, u8 version, const char *name, size_t len,
                    struct ext4_hash *out)
{
    u32 hash[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}, in[8];
    bool is_signed = version <= EXT4_HASH_TEA;
    u32 kind = version % 3, step = kind == EXT4_HASH_TEA ? 16 : 32;

    if (fs->hash_seed[0] | fs->hash_seed[1] | fs->hash_seed[2] | fs->hash_seed[3])
        memcpy(hash, fs->hash_seed, sizeof(hash));
    if (kind == EXT4_HASH_LEGACY) {
        *out = (struct ext4_hash){legacy(name, len, is_signed), 0};
    } else {
        for (size_t at = 0; at < len; at += step) {
            to_words(name + at, len - at, in, step / 4, is_signed);
            if (kind == EXT4_HASH_TEA)
                tea(hash, in);
            else
                half_md4(hash, in);
        }
        *out = kind == EXT4_HASH_TEA ? (struct ext4_hash){hash[0], hash[1]}
                                     : (struct ext4_hash){hash[1], hash[2]};
    }
    out->major &= ~1u;
    if (out->major == EOF_HASH << 1)
        out->major = (EOF_HASH - 1) << 1;
}
