/* LZ4 blocks (lz4_Block_format.md): a token with two lengths, so many bytes as they are, and a
 * match so far back and so long.  A length of 15 goes on in bytes, the last of which is below 255.
 */
#include "fs/erofs_z.h"

enum { LENGTH_GOES_ON = 15, LEAST_MATCH = 4, BYTE_GOES_ON = 255 };

/* Read to its end, but never more than @most, however long it says it is. */
static u32 read_length(struct erofs_zin *in, u32 length, u32 most)
{
    u32 byte = BYTE_GOES_ON;

    if (length == LENGTH_GOES_ON)
        while (byte == BYTE_GOES_ON && !in->err) {
            byte = erofs_zin_byte(in);
            length = min(length, most) + byte;
        }
    return min(length, most);
}

int erofs_lz4(struct erofs_zin *in, struct erofs_zout *out)
{
    for (;;) {
        u32 token = erofs_zin_byte(in);
        u32 literals = read_length(in, token >> 4, out->want - out->done);
        int err = in->err ? in->err : erofs_zmove(in, out, literals);
        if (err || out->done == out->want)
            return err;
        u32 distance = erofs_zin_byte(in);
        distance |= erofs_zin_byte(in) << 8;
        u32 room = out->want - out->done;
        u32 length = read_length(in, token & 15, room) + LEAST_MATCH;
        err = in->err ? in->err : erofs_zrepeat(out, distance, min(length, room));
        if (err || out->done == out->want)
            return err;
    }
}
