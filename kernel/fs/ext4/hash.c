/* Hashes of names in indexed directories: filesystems/ext4, "hash tree directories". */
#include "arch/vector.h"
#include "fs/ext4/dir_priv.h"
#include "lib/string.h"

#define EOF_HASH 0x7fffffffu

/* Four names at once, one in each lane. */
typedef u32 lanes __attribute__((vector_size(16)));

#define ROTATE(v, by)                   ((v) << (by) | (v) >> (32 - (by)))
#define MIX1(x, y, z)                   ((z) ^ ((x) & ((y) ^ (z))))
#define MIX2(x, y, z)                   (((x) & (y)) + (((x) ^ (y)) & (z)))
#define MIX3(x, y, z)                   ((x) ^ (y) ^ (z))
#define STEP(mix, a, b, c, d, word, by) ((a) += mix(b, c, d) + (word), (a) = ROTATE(a, by))
#define FOUR(mix, w0, w1, w2, w3, s0, s1, s2, s3)                                                  \
    (STEP(mix, a, b, c, d, w0, s0), STEP(mix, d, a, b, c, w1, s1), STEP(mix, c, d, a, b, w2, s2),  \
     STEP(mix, b, c, d, a, w3, s3))

/* Half of the MD4 transform (RFC 1320), eight steps a round, of one name or of four: in[] into a,
 * b, c and d. */
#define HALF_MD4(in)                                                                               \
    do {                                                                                           \
        const u32 k2 = 013240474631, k3 = 015666365641;                                            \
        FOUR(MIX1, in[0], in[1], in[2], in[3], 3, 7, 11, 19);                                      \
        FOUR(MIX1, in[4], in[5], in[6], in[7], 3, 7, 11, 19);                                      \
        FOUR(MIX2, in[1] + k2, in[3] + k2, in[5] + k2, in[7] + k2, 3, 5, 9, 13);                   \
        FOUR(MIX2, in[0] + k2, in[2] + k2, in[4] + k2, in[6] + k2, 3, 5, 9, 13);                   \
        FOUR(MIX3, in[3] + k3, in[7] + k3, in[2] + k3, in[6] + k3, 3, 9, 11, 15);                  \
        FOUR(MIX3, in[1] + k3, in[5] + k3, in[0] + k3, in[4] + k3, 3, 9, 11, 15);                  \
    } while (0)

static void half_md4(u32 hash[4], const u32 in[8])
{
    u32 a = hash[0], b = hash[1], c = hash[2], d = hash[3];

    HALF_MD4(in);
    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
}

/* The second and third word of four hashes. With the vector registers, which the caller has saved.
 */
static __attribute__((target("sse2"), noinline)) void
half_md4_lanes(const u32 hash[4], const lanes in[8], lanes *second, lanes *third)
{
    const lanes zero = {0};
    lanes a = zero + hash[0], b = zero + hash[1], c = zero + hash[2], d = zero + hash[3];

    HALF_MD4(in);
    *second = b + hash[1];
    *third = c + hash[2];
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

static __attribute__((noinline)) u32 legacy(const char *name, size_t len, bool is_signed)
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

/* What to_words() makes of a name of at most 32 bytes, for a readdir makes a hash of each: every
 * @stride'th word of @out. False: a byte is above 127. */
static inline bool short_words(const char *name, size_t len, u32 *out, u32 stride)
{
    u64 pad = len * 0x0101010101010101ull, high = 0;
    union {
        char bytes[36];
        u64 pairs[4];
        u32 words[8];
    } in = {.pairs = {pad, pad, pad, pad}};

    memcpy(in.bytes, name, len);
    u32 rest = len % 4 * 8;
    if (rest) /* the padding is above the last bytes, not behind them */
        in.words[len / 4] = in.words[len / 4] << (32 - rest) | (u32)pad >> rest;
    for (u32 i = 0; i < 4; i++) {
        u64 pair = __builtin_bswap64(in.pairs[i]);
        high |= pair;
        out[2 * i * stride] = (u32)(pair >> 32);
        out[(2 * i + 1) * stride] = (u32)pair;
    }
    return !(high & 0x8080808080808080);
}

/* Any name by any of the functions. */
static __attribute__((noinline)) void hash_long(const struct ext4_fs *fs, u8 version,
                                                const char *name, size_t len, struct ext4_hash *out)
{
    u32 hash[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}, in[8];
    bool is_signed = version <= EXT4_HASH_TEA;
    u32 kind = version % 3, step = kind == EXT4_HASH_TEA ? 16 : 32;

    if (fs->hash_seed[0] | fs->hash_seed[1] | fs->hash_seed[2] | fs->hash_seed[3])
        memcpy(hash, fs->hash_seed, sizeof(hash));
    if (kind == EXT4_HASH_LEGACY) {
        *out = (struct ext4_hash){legacy(name, len, is_signed), 0};
        return;
    }
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

/* Is it half MD4 from a seed of the volume's own? */
static bool is_usual(const struct ext4_fs *fs, u8 version)
{
    const u32 *seed = fs->hash_seed;

    return likely((version == EXT4_HASH_HALF_MD4 || version == EXT4_HASH_HALF_MD4 + 3) &&
                  (seed[0] | seed[1] | seed[2] | seed[3]));
}

/* The lowest bit of the first word says that a leaf goes on with the hash of the one before. */
static struct ext4_hash hash_of(u32 major, u32 minor)
{
    major &= ~1u;
    if (major == EOF_HASH << 1)
        major = (EOF_HASH - 1) << 1;
    return (struct ext4_hash){major, minor};
}

void ext4_hash_name(const struct ext4_fs *fs, u8 version, const char *name, size_t len,
                    struct ext4_hash *out)
{
    u32 hash[4] = {fs->hash_seed[0], fs->hash_seed[1], fs->hash_seed[2], fs->hash_seed[3]}, in[8];

    if (is_usual(fs, version) && len - 1 < 32 && short_words(name, len, in, 1)) {
        half_md4(hash, in);
        *out = (struct ext4_hash){hash[1], hash[2]};
    } else {
        hash_long(fs, version, name, len, out);
    }
    *out = hash_of(out->major, out->minor);
}

static void hash_one(const struct ext4_fs *fs, u8 version, struct ext4_hashed *one)
{
    struct ext4_hash hash;

    ext4_hash_name(fs, version, one->entry->name, one->entry->name_len, &hash);
    one->order = ext4_hash_order(&hash);
}

/* Four names with one turn of the vector registers, which are saved. */
static void hash_four(const struct ext4_fs *fs, u8 version, struct ext4_hashed four[4])
{
    union {
        lanes lanes[8];
        u32 words[32];
    } in;
    lanes major, minor;
    u32 others = 0;

    for (u32 i = 0; i < 4; i++) {
        const struct ext4_dir_entry *e = four[i].entry;
        if (e->name_len - 1u >= 32 || !short_words(e->name, e->name_len, in.words + i, 4))
            others |= BIT(i);
    }
    half_md4_lanes(fs->hash_seed, in.lanes, &major, &minor);
    for (u32 i = 0; i < 4; i++) {
        struct ext4_hash hash = hash_of(major[i], minor[i]);
        four[i].order = ext4_hash_order(&hash);
    }
    for (; others; others &= others - 1)
        hash_one(fs, version, &four[__builtin_ctz(others)]);
}

void ext4_hash_entries(const struct ext4_fs *fs, u8 version, struct ext4_hashed *names, u32 nr)
{
    u32 done = 0;

    if (nr >= 4 && is_usual(fs, version)) {
        struct sse_regs saved;
        sse_save(&saved);
        for (; nr - done >= 4; done += 4)
            hash_four(fs, version, names + done);
        sse_load(&saved);
    }
    for (; done < nr; done++)
        hash_one(fs, version, &names[done]);
}
