/* ingot receive: the other end of `ingot migrate`, started by it here or over ssh.
 *   ingot receive                 a JSON line on standard input says what arrives; ends when it
 * runs ingot receive --connect NAME  standard input and output are the state that arrives */
#include "cli/cli.h"
#include "cli/run_priv.h"

#include "instance/events.h"
#include "instance/guest.h"
#include "instance/instance.h"
#include "instance/supervisor.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_MS = 30000,
    LOOK_MS = 2,
    PIECE = 256 << 10,
};

struct receive_options {
    const char *connect;
};

static const struct option_spec receive_specs[] = {
    {"connect", 0, OPTION_TEXT, offsetof(struct receive_options, connect), "NAME",
     "pass the state of this one on"},
    {0},
};

static void pump(int from, int to)
{
    static char bytes[PIECE];
    ssize_t got;

    while ((got = read(from, bytes, sizeof(bytes))) > 0)
        for (ssize_t put = 0, n; put < got; put += n)
            if ((n = write(to, bytes + put, (size_t)(got - put))) < 0)
                return;
    shutdown(to, SHUT_WR);
}

/* It may not be there yet, nor listen. */
static int connect_incoming(const char *name, struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

    for (u64 deadline = ticks_ms() + CONNECT_MS; ticks_ms() < deadline; nanosleep(&pause, NULL)) {
        struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
        int fd =
            instance_open(&instance, name, NULL) ? -1 : instance_connect(&instance, "incoming");
        if (fd >= 0)
            return fd;
    }
    return err_set(err, ETIMEDOUT, "instance '%s' does not wait for its state", name);
}

static int receive_state(const char *name, struct err *err)
{
    int fd CLEANUP(fd_close) = connect_incoming(name, err);

    if (fd < 0)
        return fd;
    if (write(STDOUT_FILENO, "", 1) != 1) /* its VMM waits */
        return err_errno(err, errno, "standard output");
    pid_t back = fork(); /* QEMU's answers, of post-copy, go the other way */
    if (back < 0)
        return err_errno(err, errno, "a process");
    if (back == 0) {
        pump(fd, STDOUT_FILENO);
        _exit(0);
    }
    pump(STDIN_FILENO, fd);
    waitpid(back, NULL, 0);
    return 0;
}

static int check_version(const json_t *arrival, struct err *err)
{
    const char *version = json_str(arrival, "Version", "?");

    if (strcmp(version, INGOT_VERSION) == 0)
        return 0;
    return err_set(err, EINVAL, "it comes from ingot %s, whose machines are others; this is %s",
                   version, INGOT_VERSION);
}

static int receive_instance(const json_t *arrival, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    const char *name = json_str(arrival, "Name", "");
    struct run_state state = {.moving = true,
                              .postcopy = json_is_true(json_object_get(arrival, "Postcopy"))};
    int failed = check_version(arrival, err);

    if (!failed)
        failed = instance_create(&instance, name, json_object_get(arrival, "Config"), err);
    if (failed)
        return failed;
    failed = run_from(&instance, &state, err);
    struct instance arrived CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    if (failed) {
        if (!instance_open(&arrived, name, NULL) && !instance_lock(&arrived, NULL))
            (void)instance_remove(&arrived, NULL);
        return failed;
    }
    fflush(stdout); /* its name: the other one may go */
    event_write(name, "arrive", NULL);
    if (!instance_open(&arrived, name, NULL))
        (void)guest_resume(&arrived, NULL, NULL); /* a late clock is no reason to go back */
    return 0;
}

static int receive_run(int argc, char **argv, struct err *err)
{
    struct receive_options options = {0};
    int words;
    int done = cli_options(&command_receive, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (done)
        return min(done, 0);
    if (options.connect)
        return receive_state(options.connect, err);
    supervisor_note_inherited(); /* before anything is opened */
    json_error_t why;
    json_t *arrival CLEANUP(json_put) = json_loadf(stdin, 0, &why);
    if (!arrival)
        return err_set(err, EINVAL, "standard input: %s; 'ingot migrate' writes it", why.text);
    return receive_instance(arrival, err);
}

const struct command command_receive = {
    .name = "receive",
    .summary = NULL, /* for `ingot migrate` alone */
    .usage = "[--connect NAME]",
    .options = receive_specs,
    .help = "The other end of 'ingot migrate', which starts it.",
    .run = receive_run,
};
