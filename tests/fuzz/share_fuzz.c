/* The server of a shared folder whose guest says what it likes: a row of messages, each a byte of
 * its length and its bytes behind the length word, which is right unless the first bit says not.
 * Whatever it says, the file beside the folder stays what it is. */
#include "fuzz.h"

#include "device/offer.h"
#include "device/share.h"
#include "fake/device_guest.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ASK = GUEST_DATA, ANSWER = GUEST_DATA + 0x4000, ROOM = 0x1000, MOST = 0x7f };
static const char secret[] = "secret";

static int top = -1;

static void write_text(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    FUZZ_ASSERT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static char path[] = "/tmp/share-fuzz-XXXXXX";

static void remove_all(void)
{
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A fresh folder in one that is made once. */
static int make_folder(void)
{

    if (top < 0) {
        FUZZ_ASSERT(mkdtemp(path));
        atexit(remove_all);
        FUZZ_ASSERT(!chdir(path));
        top = open(path, O_PATH);
        write_text(top, "secret", secret);
    }
    (void)nftw("in", remove_one, 8, FTW_DEPTH | FTW_PHYS);
    FUZZ_ASSERT(!mkdirat(top, "in", 0755));
    int in = openat(top, "in", O_PATH);
    write_text(in, "f", "0123456789");
    FUZZ_ASSERT(!mkdirat(in, "d", 0755) && !symlinkat("../secret", in, "l"));
    return in;
}

static void send_one(struct fake_guest *fake, struct share *share, const uint8_t **data,
                     size_t *size)
{
    u32 len = (*data)[0] & MOST;
    bool wrong = (*data)[0] & ~MOST;
    u8 *to = fake_at(fake, ASK);

    ++*data, --*size;
    len = len < *size ? len : (u32)*size;
    u32 said = len + !wrong * (u32)sizeof(said);
    memcpy(to, &said, sizeof(said));
    memcpy(to + sizeof(said), *data, len);
    *data += len, *size -= len;
    *fake_desc(fake, 0, 0) = (struct fake_desc){ASK, len + (u32)sizeof(said), DESC_NEXT, 1};
    *fake_desc(fake, 0, 1) = (struct fake_desc){ANSWER, ROOM, DESC_WRITE, 0};
    fake_offer(fake, 0, 0);
    (void)share_serve(share);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct share share;
    struct fake_guest fake;
    char text[16] = "";

    memset(&share, 0, sizeof(share));
    share.root = make_folder();
    share.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    fake_guest_init(&fake, 1);
    offer_init(fake.window);
    offer_share(fake.window, 0);
    device_init(&share.dev, &fake.guest, 0, "share", -1);
    fake_start(&fake, &share.dev, BIT(DEVICE_F_VERSION_1), 1);
    while (size && !share.dev.broken)
        send_one(&fake, &share, &data, &size);
    share_forget(&share);
    close(share.root);
    close(share.proc_fd);
    fake_guest_fini(&fake);
    int fd = openat(top, "secret", O_RDONLY);
    FUZZ_ASSERT(fd >= 0 && read(fd, text, sizeof(text)) == (ssize_t)strlen(secret) &&
                !strcmp(text, secret));
    close(fd);
    return 0;
}
