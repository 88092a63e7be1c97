/* A capture as tcpdump and wireshark read it (draft-ietf-opsawg-pcap): microseconds, Ethernet. */
#include "device/net.h"

#include <errno.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MAGIC = 0xa1b2c3d4, ETHERNET = 1, SNAPLEN = 262144 };

struct file_header {
    u32 magic;
    u16 major, minor;
    u32 zone, accuracy, snaplen, network;
};

struct record_header {
    u32 seconds, micros, stored, len;
};

int pcap_start(int fd)
{
    struct file_header h = {
        .magic = MAGIC, .major = 2, .minor = 4, .snaplen = SNAPLEN, .network = ETHERNET};

    return write(fd, &h, sizeof(h)) == sizeof(h) ? 0 : -errno;
}

/* A full disk ends the capture's use, not the guest's network.  What a driver sends as a frame may
 * be longer than any, and what it gives for one may be in more pieces than fit here: then the
 * record has the first part of it, and says so. */
void pcap_frame(int fd, const struct iovec *pieces, u32 count, u64 skip, u64 len)
{
    struct iovec out[RING_MAX_PIECES + 1];
    struct timespec now;
    u32 n = 1;

    if (len < skip)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    u64 frame = len - skip, most = min(frame, (u64)SNAPLEN), left = most;
    for (u32 i = 0; i < count && left && n <= RING_MAX_PIECES; i++) {
        u64 drop = min(skip, (u64)pieces[i].iov_len),
            take = min(left, (u64)pieces[i].iov_len - drop);
        skip -= drop;
        left -= take;
        if (take)
            out[n++] = (struct iovec){(char *)pieces[i].iov_base + drop, take};
    }
    struct record_header h = {.seconds = (u32)now.tv_sec,
                              .micros = (u32)(now.tv_nsec / 1000),
                              .stored = (u32)(most - left),
                              .len = (u32)frame};
    out[0] = (struct iovec){&h, sizeof(h)};
    (void)!writev(fd, out, (int)n);
}
