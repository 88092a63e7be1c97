#include "lib/sha256.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/types.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>

static struct sha256_hex sha256_finish(struct sha256_ctx *ctx)
{
    static const char digits[] = "0123456789abcdef";
    struct sha256_hex hex;
    u8 raw[SHA256_DIGEST_SIZE];

    sha256_digest(ctx, sizeof(raw), raw);
    for (size_t i = 0; i < sizeof(raw); i++) {
        hex.text[2 * i] = digits[raw[i] >> 4];
        hex.text[2 * i + 1] = digits[raw[i] & 15];
    }
    hex.text[SHA256_HEX] = 0;
    return hex;
}

struct sha256_hex sha256_bytes(const void *bytes, size_t len)
{
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, len, bytes);
    return sha256_finish(&ctx);
}

int sha256_file(const char *path, struct sha256_hex *hex, uint64_t *size, struct err *err)
{
    enum { PIECE = 256 * 1024 };
    char *piece CLEANUP(mem_free) = mem_new(PIECE);
    int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);
    struct sha256_ctx ctx;
    u64 total = 0;

    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    sha256_init(&ctx);
    for (;;) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0)
            return err_errno(err, errno, "%s", path);
        if (n == 0)
            break;
        sha256_update(&ctx, (size_t)n, (const u8 *)piece);
        total += (u64)n;
    }
    *hex = sha256_finish(&ctx);
    *size = total;
    return 0;
}
