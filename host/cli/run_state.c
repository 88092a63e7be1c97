/* A guest that does not start but goes on: from a snapshot's file, or from another VMM. */
#include "cli/run_priv.h"

#include "instance/instance.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ARRIVAL_MS = 10000, /* who brings it is under way already */
};

/* The connection of a guest that moves here: made by `ingot receive --connect`. */
static int accept_state(const char *name, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    int failed = instance_open(&instance, name, err);

    if (failed)
        return failed;
    int listening CLEANUP(fd_close) = instance_listen(&instance, "incoming");
    struct pollfd entry = {.fd = listening, .events = POLLIN};
    if (listening < 0)
        return err_errno(err, -listening, "a socket to arrive by");
    int ready = poll(&entry, 1, ARRIVAL_MS);
    int fd = ready > 0 ? accept4(listening, NULL, NULL, SOCK_CLOEXEC) : -1;
    unlinkat(instance.dir, "incoming", 0);
    return fd < 0 ? err_set(err, ETIMEDOUT, "nobody came to bring the guest") : fd;
}

static int open_state(const struct run_options *options, struct err *err)
{
    if (options->state.moving)
        return accept_state(options->name, err);
    int fd = open(options->state.file, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_errno(err, errno, "%s", options->state.file) : fd;
}

int run_go_on(const struct run_guest *guest, const struct run_options *options, struct vm *vm,
              struct err *err)
{
    int failed = guest->vmm->ready(vm, err);

    if (failed)
        return failed;
    int fd CLEANUP(fd_close) = open_state(options, err);
    return fd < 0 ? fd : guest->vmm->arrive(&guest->config, vm, fd, err);
}

void run_settle_in(const struct run_guest *guest, struct vm *vm)
{
    struct err err = {0};

    if (run_lock_volumes(guest, &err) || guest->vmm->settle(&guest->config, vm, &err))
        fprintf(stderr, "ingot run: after the move: %s\n", err.text);
}
