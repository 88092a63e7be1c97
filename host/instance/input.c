#include "instance/input.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

int input_open(struct input *input, int *theirs)
{
    int pair[2];

    if (pipe2(pair, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(pair[1], F_SETFL, O_NONBLOCK); /* the other end is another open file */
    *theirs = pair[0];
    *input = (struct input){.fd = pair[1]};
    return 0;
}

void input_close(struct input *input)
{
    fd_close(&input->fd);
    input->fd = -1;
    input->len = 0;
}

static bool is_passing(void)
{
    return errno == EINTR || errno == EAGAIN;
}

bool input_take(struct input *input, int from)
{
    ssize_t got = recv(from, input->bytes, sizeof(input->bytes), MSG_DONTWAIT);

    if (got <= 0)
        return got < 0 && is_passing();
    input->start = 0;
    input->len = (size_t)got;
    input_flush(input);
    return true;
}

void input_flush(struct input *input)
{
    ssize_t put = -1;

    if (!input->len)
        return;
    if (input->fd >= 0)
        put = write(input->fd, input->bytes + input->start, input->len);
    if (put > 0) {
        input->start += (size_t)put;
        input->len -= (size_t)put;
    } else if (input->fd < 0 || !is_passing()) {
        input_close(input);
    }
}
