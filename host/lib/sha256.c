#include "lib/sha256.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/sha256_blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum {
    WORTH_ASKING = 4096, /* bytes from which on instructions gain more than finding them takes */
};

struct sha256 {
    u32 state[8];
    u64 len;
    u8 rest[SHA256_BLOCK]; /* len % SHA256_BLOCK of it */
};

static void sha256_init(struct sha256 *sum)
{
    *sum = (struct sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                     0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

static bool use_instructions(size_t len)
{
    static enum { UNKNOWN, NO, YES } known;

    if (known == UNKNOWN && len >= WORTH_ASKING)
        known = sha256_has_instructions() ? YES : NO;
    return known == YES;
}

static void sha256_add(struct sha256 *sum, const void *bytes, size_t len)
{
    size_t have = sum->len % SHA256_BLOCK, want = have ? SHA256_BLOCK - have : 0;
    bool by_instruction = use_instructions(len);
    const u8 *at = bytes;

    sum->len += len;
    if (want > len) {
        memcpy(sum->rest + have, at, len);
        return;
    }
    if (want) {
        memcpy(sum->rest + have, at, want);
        sha256_blocks(sum->state, sum->rest, 1, by_instruction);
        at += want, len -= want;
    }
    size_t whole = len / SHA256_BLOCK * SHA256_BLOCK;
    sha256_blocks(sum->state, at, whole / SHA256_BLOCK, by_instruction);
    if (len > whole)
        memcpy(sum->rest, at + whole, len - whole);
}

/* 5.1.1: a one, zeros, and the length in bits as the last word of a block. */
static void sha256_pad(struct sha256 *sum)
{
    u8 end[2 * SHA256_BLOCK] = {0x80};
    u64 bits = __builtin_bswap64(sum->len * 8);
    size_t len = SHA256_BLOCK - (sum->len + sizeof(bits)) % SHA256_BLOCK;

    memcpy(end + len, &bits, sizeof(bits));
    sha256_add(sum, end, len + sizeof(bits));
}

static struct sha256_hex sha256_finish(struct sha256 *sum)
{
    static const char digits[] = "0123456789abcdef";
    struct sha256_hex hex;

    sha256_pad(sum);
    for (u32 i = 0; i < SHA256_HEX; i++)
        hex.text[i] = digits[sum->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex.text[SHA256_HEX] = 0;
    return hex;
}

struct sha256_hex sha256_bytes(const void *bytes, size_t len)
{
    struct sha256 sum;

    sha256_init(&sum);
    sha256_add(&sum, bytes, len);
    return sha256_finish(&sum);
}

int sha256_file(const char *path, struct sha256_hex *hex, uint64_t *size, struct err *err)
{
    enum { PIECE = 256 * 1024 };
    char *piece CLEANUP(mem_free) = mem_new(PIECE);
    int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);
    struct sha256 sum;
    u64 total = 0;

    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    sha256_init(&sum);
    for (;;) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0)
            return err_errno(err, errno, "%s", path);
        if (n == 0)
            break;
        sha256_add(&sum, piece, (size_t)n);
        total += (u64)n;
    }
    *hex = sha256_finish(&sum);
    *size = total;
    return 0;
}
