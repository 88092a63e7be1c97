/* ingot attach: the output of an instance that runs, and where it was started with -i its input;
 * with -t this terminal becomes its own until the detach keys are pressed. */
#include "cli/cli.h"
#include "cli/instances.h"

#include "instance/guest.h"
#include "instance/supervisor.h"
#include "lib/cleanup.h"
#include "vm/terminal.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    KEYS_MAX = 16,
    FRAME_MAX = 1 << 16,
    SIZE_MS = 5000, /* for a guest that is busy */
};

struct attach_options {
    bool no_stdin, sig_proxy;
    const char *keys;
};

static const struct option_spec attach_specs[] = {
    {"no-stdin", 0, OPTION_FLAG, offsetof(struct attach_options, no_stdin), NULL,
     "only show what it says"},
    {"detach-keys", 0, OPTION_TEXT, offsetof(struct attach_options, keys), "KEYS",
     "what leaves a terminal (ctrl-p,ctrl-q)"},
    {"sig-proxy", 0, OPTION_FLAG, offsetof(struct attach_options, sig_proxy), NULL,
     "Ctrl-C and SIGTERM stop the program, and not this command"},
    {0},
};

/* One connection. */
struct attached {
    const struct instance *instance; /* borrowed */
    const struct attach_options *options;
    int fd;      /* to its supervisor; owned */
    int signals; /* owned */
    bool input;  /* it takes some, and ours has not ended */
    bool raw;    /* our terminal is its own */
    bool left;   /* the keys were pressed */
    unsigned char keys[KEYS_MAX];
    size_t nr_keys, matched; /* of them, how many were pressed just now */
    size_t start, len;       /* of .bytes: said, and not taken yet */
    char bytes[4096 + KEYS_MAX];
};

static void attached_fini(struct attached *a)
{
    terminal_restore();
    fd_close(&a->fd);
    fd_close(&a->signals);
}

/* "a", or "ctrl-p": a letter, or one of @[\]^_. */
static int parse_key(const char *word, unsigned char *key)
{
    size_t len = strlen(word);

    if (len == 1) {
        *key = (unsigned char)*word;
        return 0;
    }
    if (len != strlen("ctrl-x") || !str_starts(word, "ctrl-"))
        return -EINVAL;
    int letter = toupper((unsigned char)word[len - 1]);
    if (letter < '@' || letter > '_')
        return -EINVAL;
    *key = (unsigned char)(letter - '@');
    return 0;
}

/* Docker's words: "ctrl-p,ctrl-q". */
static int parse_keys(struct attached *a, const char *text, struct err *err)
{
    struct strs words CLEANUP(strs_free) = {0};

    for (const char *at = text; *at; at += strcspn(at, ","), at += *at == ',')
        strs_take(&words, str_printf("%.*s", (int)strcspn(at, ","), at));
    if (words.len > KEYS_MAX)
        return err_set(err, ERR_USAGE, "--detach-keys: more than %d keys", KEYS_MAX);
    for (size_t i = 0; i < words.len; i++)
        if (parse_key(words.at[i], &a->keys[i]))
            return err_set(err, ERR_USAGE, "--detach-keys: '%s' is neither a character nor ctrl-X",
                           words.at[i]);
    a->nr_keys = words.len;
    return 0;
}

static void put_byte(struct attached *a, char byte)
{
    a->bytes[a->len++] = byte;
}

/* Keys that may be the first of those that leave wait for the next one. */
static void take_key(struct attached *a, unsigned char key)
{
    if (a->raw && a->nr_keys && key == a->keys[a->matched]) {
        a->left = ++a->matched == a->nr_keys;
        return;
    }
    for (size_t i = 0; i < a->matched; i++)
        put_byte(a, (char)a->keys[i]);
    bool again = a->matched && key == a->keys[0];
    a->matched = again;
    a->left = again && a->nr_keys == 1;
    if (!again)
        put_byte(a, (char)key);
}

static void take_input(struct attached *a)
{
    unsigned char bytes[256]; /* each may bring all keys that waited */
    ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));

    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
        a->input = false;
    a->start = a->len = 0;
    for (ssize_t i = 0; i < got && !a->left; i++)
        take_key(a, bytes[i]);
}

static void give_input(struct attached *a)
{
    ssize_t put = send(a->fd, a->bytes + a->start, a->len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (put < 0 && errno != EAGAIN && errno != EINTR) {
        a->input = false; /* its end comes by the frames */
        a->len = 0;
    } else if (put > 0) {
        a->start += (size_t)put;
        a->len -= (size_t)put;
    }
}

static bool read_all(int fd, void *into, size_t len)
{
    return recv(fd, into, len, MSG_WAITALL) == (ssize_t)len;
}

/* One frame.  0, 1 at the supervisor's end, or a negative code. */
static int take_frame(const struct attached *a, struct err *err)
{
    static char bytes[FRAME_MAX];
    unsigned char head[8];

    if (!read_all(a->fd, head, sizeof(head)))
        return 1;
    size_t len = (size_t)head[4] << 24 | head[5] << 16 | head[6] << 8 | head[7];
    if (len > sizeof(bytes) || !read_all(a->fd, bytes, len))
        return err_set(err, EPROTO, "its supervisor makes no sense");
    FILE *to = head[0] == 2 ? stderr : stdout;
    if (fwrite(bytes, 1, len, to) != len || fflush(to))
        return err_errno(err, errno, "standard %s", head[0] == 2 ? "error" : "output");
    return 0;
}

/* The guest's terminal is as large as ours. */
static void tell_size(const struct attached *a)
{
    unsigned columns, rows;

    if (!a->raw || !terminal_size(STDIN_FILENO, &columns, &rows))
        return;
    char *request CLEANUP(mem_free) = str_printf("size %u %u", columns, rows);
    (void)guest_ask(a->instance, request, SIZE_MS, NULL, NULL); /* else it draws for another one */
}

static void take_signal(const struct attached *a)
{
    struct signalfd_siginfo info;

    if (read(a->signals, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGWINCH)
        tell_size(a);
    else
        (void)supervisor_order(a->instance, "signal", false,
                               NULL); /* it may be between two starts */
}

static int open_signals(struct attached *a, struct err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    if (a->options->sig_proxy) {
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    a->signals = signalfd(-1, &set, SFD_CLOEXEC);
    return a->signals < 0 ? err_errno(err, errno, "signals") : 0;
}

/* Until it ends (1), or is left (0). */
static int pump(struct attached *a, struct err *err)
{
    int done = 0;

    while (!done && !a->left) {
        bool full = a->len;
        struct pollfd set[] = {
            {.fd = a->fd, .events = (short)(POLLIN | (full ? POLLOUT : 0))},
            {.fd = a->input && !full ? STDIN_FILENO : -1, .events = POLLIN},
            {.fd = a->signals, .events = POLLIN},
        };
        if (poll(set, ARRAY_LEN(set), -1) < 0)
            continue;
        if (set[0].revents & POLLOUT)
            give_input(a);
        if (set[0].revents & ~POLLOUT)
            done = take_frame(a, err);
        if (set[1].revents)
            take_input(a);
        if (set[2].revents)
            take_signal(a);
    }
    return done;
}

static int attach(const struct instance *instance, const struct attach_options *options,
                  struct err *err)
{
    struct attached a CLEANUP(attached_fini) = {
        .instance = instance, .options = options, .fd = -1, .signals = -1};
    json_t *config CLEANUP(json_put) = instance_config(instance, err);
    struct instance_state state;

    if (!config)
        return -err->code;
    a.input = json_is_true(json_object_get(config, "OpenStdin")) && !options->no_stdin;
    bool tty = a.input && json_is_true(json_object_get(config, "Tty"));
    int failed = parse_keys(&a, options->keys ? options->keys : "ctrl-p,ctrl-q", err);
    if (failed)
        return failed;
    a.fd = supervisor_connect(instance, a.input ? "attach input" : "attach", err);
    if (a.fd < 0)
        return a.fd;
    failed = open_signals(&a, err);
    if (failed)
        return failed;
    a.raw = tty && !terminal_raw(STDIN_FILENO);
    tell_size(&a);
    int done = pump(&a, err);
    terminal_restore();
    if (a.left) {
        fprintf(stderr, "\ningot attach: instance '%s' goes on\n", instance->name);
        return 0;
    }
    if (done < 0)
        return done;
    if (instance_is_live(instance))
        return err_set(err, EPIPE, "instance '%s' goes on; it said more than could be shown here",
                       instance->name);
    instance_get_state(instance, &state);
    return state.exit_code;
}

static int attach_run(int argc, char **argv, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct attach_options options = {0};
    struct instance_state state;
    int words;
    int done = cli_options(&command_attach, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (done)
        return min(done, 0);
    if (words != 1)
        return err_set(err, ERR_USAGE, "write 'ingot attach NAME'");
    int failed = instance_open(&instance, argv[1], err);
    if (failed)
        return failed;
    instance_get_state(&instance, &state);
    if (state.foreground && instance_is_live(&instance))
        return err_set(err, EINVAL, "instance '%s' is attached to its own terminal", argv[1]);
    return attach(&instance, &options, err);
}

const struct command command_attach = {
    .name = "attach",
    .summary = "Show what an instance says from now on, speak with it, and end with its status",
    .usage = "[OPTIONS] NAME",
    .options = attach_specs,
    .help = "What is typed reaches a program that was started with -i; with -t this terminal is\n"
            "its own until Ctrl-P Ctrl-Q. Without -t, Ctrl-C ends the command, not the instance.",
    .run = attach_run,
};
