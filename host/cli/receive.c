/* ingot receive: the other end of `ingot migrate`, started by it here or over ssh.  Standard input
 * and output are
 *   ingot receive                  a JSON line that says what arrives; ends when it runs
 *   ingot receive --connect NAME   the state that arrives
 *   ingot receive --ask NAME       whether it arrived, as soon as that is certain
 *   ingot receive --volume NAME    a volume that arrives (migrate_volume.c)
 *   ingot receive --image ID       an image that arrives (migrate_image.c) */
#include "cli/cli.h"
#include "cli/migrate_priv.h"
#include "cli/run_priv.h"

#include "image/store.h"
#include "instance/events.h"
#include "instance/guest.h"
#include "instance/instance.h"
#include "instance/supervisor.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_MS = 30000,
    STILLBORN_MS = 15000, /* longer than a VMM waits for its state */
    DECIDED_MS = 75000,   /* longer than one that has its state takes to load it, or to give up */
    LOOK_MS = 2,
    PIECE = 256 << 10,
};

struct receive_options {
    const char *connect, *ask, *volume, *image, *instance, *token;
};

static const struct option_spec receive_specs[] = {
    {"connect", 0, OPTION_TEXT, offsetof(struct receive_options, connect), "NAME",
     "pass the state of this one on"},
    {"ask", 0, OPTION_TEXT, offsetof(struct receive_options, ask), "NAME",
     "say what became of this one"},
    {"token", 0, OPTION_TEXT, offsetof(struct receive_options, token), "TEXT",
     "... of this migration, and no other"},
    {"volume", 0, OPTION_TEXT, offsetof(struct receive_options, volume), "NAME",
     "take this volume in"},
    {"image", 0, OPTION_TEXT, offsetof(struct receive_options, image), "ID",
     "take this image in, if it is not here"},
    {"instance", 0, OPTION_TEXT, offsetof(struct receive_options, instance), "NAME",
     "... for this one"},
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

/* Does it wait for this migration?  One that was cut short may have left somebody who waits for a
 * while, under the same name. */
static bool is_ours(const struct instance *instance, const char *token)
{
    json_t *config CLEANUP(json_put) = instance_config(instance, NULL);

    return strcmp(json_str(config, "Arriving", ""), token) == 0;
}

/* It may not be there yet, nor listen. */
static int connect_incoming(const char *name, const char *token, struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

    for (u64 deadline = ticks_ms() + CONNECT_MS; ticks_ms() < deadline; nanosleep(&pause, NULL)) {
        struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
        if (instance_open(&instance, name, NULL) || !is_ours(&instance, token))
            continue;
        int fd = instance_connect(&instance, "incoming");
        if (fd >= 0)
            return fd;
    }
    return err_set(err, ETIMEDOUT, "instance '%s' does not wait for its state", name);
}

static int receive_state(const char *name, const char *token, struct err *err)
{
    int fd CLEANUP(fd_close) = connect_incoming(name, token, err);

    if (fd < 0)
        return fd;
    if (write(STDOUT_FILENO, "", 1) != 1) /* its VMM waits */
        return err_errno(err, errno, "standard output");
    pid_t back = fork(); /* QEMU's answers, of post-copy, go the other way */
    if (back < 0)
        return err_errno(err, errno, "a process");
    if (back == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* the connection ends with whoever brings the state */
        pump(fd, STDOUT_FILENO);
        _exit(0);
    }
    pump(STDIN_FILENO, fd);
    waitpid(back, NULL, 0);
    return 0;
}

/* One that waits or loads has not been decided. */
enum fate fate_of(const char *name, const char *token)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct instance_state state;

    if (instance_open(&instance, name, NULL) || !is_ours(&instance, token))
        return FATE_GONE;
    instance_get_state(&instance, &state);
    if (state.started)
        return FATE_RUNS;
    return instance_is_live(&instance) ? FATE_UNKNOWN : FATE_GONE;
}

static int answer(const char *name, const char *token, struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    u64 deadline = ticks_ms() + DECIDED_MS;
    enum fate fate;

    while ((fate = fate_of(name, token)) == FATE_UNKNOWN && ticks_ms() < deadline)
        nanosleep(&pause, NULL);
    if (fate == FATE_UNKNOWN)
        return err_set(err, ETIMEDOUT, "instance '%s' still waits for its state", name);
    puts(fate == FATE_RUNS ? FATE_RUNS_WORD : FATE_GONE_WORD);
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

/* Another machine has its store, and its folders, elsewhere. */
static void settle_here(json_t *config)
{
    char *store CLEANUP(mem_free) = store_path();
    char *real CLEANUP(mem_free) = fs_real(store, NULL);

    json_object_set_new(config, "Store", json_string(real ? real : store));
    if (!fs_is_dir(json_str(config, "Cwd", "/")))
        json_object_set_new(config, "Cwd", json_string("/"));
}

/* Who was killed while he received it has left it as it was made; what he started gives up waiting
 * some seconds later.  False: it is something else. */
static bool remove_stillborn(const char *name)
{
    struct instance left CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct instance_state state;

    if (instance_open(&left, name, NULL))
        return true; /* it is gone */
    json_t *config CLEANUP(json_put) = instance_config(&left, NULL);
    instance_get_state(&left, &state);
    bool young = state.status == INSTANCE_CREATED ||
                 instance_clock() - state.started < STILLBORN_MS * 1000000LL;
    if (!*json_str(config, "Arriving", "") || !young)
        return false;
    if (state.status == INSTANCE_CREATED && !instance_lock(&left, NULL))
        (void)instance_remove(&left, NULL); /* if it cannot be, the name stays in use */
    return true;
}

static int make_room(struct instance *instance, const char *name, const json_t *config,
                     struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 10 * 1000000L};
    u64 deadline = ticks_ms() + STILLBORN_MS;

    for (;;) {
        int failed = instance_create(instance, name, config, err);
        if (failed != -EEXIST || ticks_ms() >= deadline || !remove_stillborn(name))
            return failed;
        err_clear(err);
        nanosleep(&pause, NULL);
    }
}

static int receive_instance(const json_t *arrival, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    const char *name = json_str(arrival, "Name", "");
    struct run_state state = {.moving = true,
                              .postcopy = json_is_true(json_object_get(arrival, "Postcopy"))};
    int failed = check_version(arrival, err);

    if (json_is_true(json_object_get(arrival, "Remote")))
        settle_here(json_object_get(arrival, "Config"));
    if (!failed)
        failed = make_room(&instance, name, json_object_get(arrival, "Config"), err);
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
        return receive_state(options.connect, options.token ? options.token : "", err);
    if (options.ask)
        return answer(options.ask, options.token ? options.token : "", err);
    if (options.volume)
        return volume_receive(options.volume, err);
    if (options.image)
        return image_receive(options.image, options.instance ? options.instance : "",
                             options.token ? options.token : "", err);
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
