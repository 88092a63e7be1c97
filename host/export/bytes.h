/* Little-endian fields of on-disk structures, by offset, and whole writes. */
#pragma once

#include "lib/err.h"
#include "lib/types.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/** Put the low @size bytes of @value at @offset of @at. */
static inline void bytes_put(void *at, size_t offset, u64 value, size_t size)
{
    memcpy((u8 *)at + offset, &value, size); /* this tool runs on x86-64 alone */
}

/** pwrite() all of it, or fail with @path named. */
static inline int bytes_write(int fd, const void *data, size_t len, u64 offset, const char *path,
                              struct err *err)
{
    const u8 *from = data;

    while (len) {
        ssize_t n = pwrite(fd, from, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(err, n ? errno : EIO, "%s", path);
        from += n;
        len -= (size_t)n;
        offset += (u64)n;
    }
    return 0;
}
