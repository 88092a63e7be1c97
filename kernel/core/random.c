/* Fast key erasure (djb, 2017): each refill makes a new key first and then its output, which is
 * kept for small requests and forgotten as it is given out: nothing given out can be computed from
 * what is kept.  Who asks often (each new program does) has more blocks at a time. */
#include "core/random.h"

#include "arch/cpu.h"
#include "core/cmdline.h"
#include "core/spinlock.h"
#include "lib/chacha20.h"
#include "lib/string.h"
#include "plat/plat.h"

static struct spinlock lock;
static u32 key[8];  /* [lock] */
static bool seeded; /* [lock] */
enum { KEY_SIZE = 32, FEW_REFILLS = 8 };

static u8 pool[256 - KEY_SIZE]; /* [lock] output of the last blocks, at its end */
static u32 refills;             /* [lock] up to FEW_REFILLS */
static size_t left;             /* [lock] bytes at the end of pool that nobody has had */

/* The key becomes a function of itself and @words. */
static void mix_in(const u32 words[8])
{
    static const u32 nonce[3];
    u32 block[16];

    for (u32 i = 0; i < 8; i++)
        key[i] ^= words[i];
    chacha20_block(key, 0, nonce, (u8 *)block);
    memcpy(key, block, sizeof(key));
}

static void mix_bytes(const u8 *bytes, size_t len)
{
    while (len) {
        u32 words[8] = {0};
        size_t n = min(len, sizeof(words));
        memcpy(words, bytes, n);
        mix_in(words);
        bytes += n, len -= n;
    }
}

/* The boot seed, the CPU's generator, and the time at which all this happens to happen. */
static void seed(void)
{
    const char *boot_seed = cmdline_get("ingot.entropy");
    u8 hw[32] = {0};
    u64 jitter[4];

    if (boot_seed)
        mix_bytes((const u8 *)boot_seed, strlen(boot_seed));
    plat.random_seed(hw, sizeof(hw));
    mix_bytes(hw, sizeof(hw));
    for (u32 i = 0; i < ARRAY_LEN(jitter); i++)
        jitter[i] = rdtsc() ^ direct_map_base;
    mix_bytes((const u8 *)jitter, sizeof(jitter));
    seeded = true;
}

static void refill(void)
{
    static const u32 nonce[3];
    u8 block[64];

    if (!seeded)
        seed();
    if (refills < FEW_REFILLS)
        refills++;
    u32 nr_blocks = refills < FEW_REFILLS ? 1 : (sizeof(pool) + KEY_SIZE) / sizeof(block);
    left = nr_blocks * sizeof(block) - KEY_SIZE;
    u8 *to = pool + sizeof(pool) - left;
    for (u32 i = nr_blocks; i-- > 0;) { /* the first one, with the new key, at last */
        chacha20_block(key, i, nonce, block);
        memcpy(i ? to + i * sizeof(block) - KEY_SIZE : to, i ? block : block + KEY_SIZE,
               i ? sizeof(block) : sizeof(block) - KEY_SIZE);
    }
    memcpy(key, block, sizeof(key));
    memset(block, 0, sizeof(block));
}

/* @len is at most what one block leaves beside the key. */
static void take_few(void *buf, size_t len)
{
    spin_lock(&lock);
    if (left < len)
        refill();
    u8 *from = pool + sizeof(pool) - left;
    memcpy(buf, from, len);
    memset(from, 0, len);
    left -= len;
    spin_unlock(&lock);
}

void random_bytes(void *buf, size_t len)
{
    static const u32 nonce[3] = {1};
    u32 own[8];
    u8 block[64], *to = buf;

    if (len <= KEY_SIZE) {
        take_few(buf, len);
        return;
    }
    take_few(own, sizeof(own));
    for (u32 counter = 0; len; counter++) {
        size_t n = min(len, sizeof(block));
        chacha20_block(own, counter, nonce, block);
        memcpy(to, block, n);
        to += n, len -= n;
    }
    memset(own, 0, sizeof(own));
}

u64 random_u64(void)
{
    u64 v;
    random_bytes(&v, sizeof(v));
    return v;
}

u64 random_below(u64 limit)
{
    return (u64)((unsigned __int128)random_u64() * limit >> 64);
}

void random_add_entropy(const void *buf, size_t len)
{
    spin_lock(&lock);
    mix_bytes(buf, len);
    left = 0; /* what comes next has it */
    spin_unlock(&lock);
}
