/* The supervisor's loop: one poll() over signals, orders, the runner's streams and deadlines. */
#include "instance/supervisor_priv.h"

#include "instance/events.h"
#include "instance/guest.h"
#include "instance/tree.h"
#include "lib/cleanup.h"
#include "lib/qmp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PAUSE_FIRST_MS = 100,
    PAUSE_MAX_MS = 60000,
    UP_LONG_MS = 10000, /* who was up this long is started again as for the first time */
    LINGER_MS = 1000,   /* for the last words of what a dead runner leaves behind */
    MONITOR_MS = 3000,  /* patience with the VMM */
    MAX_INHERITED = 64,
    STATUS_FAILED = 125,
};

static int inherited[MAX_INHERITED];
static size_t nr_inherited;

void supervisor_note_inherited(void)
{
    DIR *dir = opendir("/proc/self/fd");

    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        int fd = atoi(entry->d_name);
        if (fd > STDERR_FILENO && fd != dirfd(dir) && nr_inherited < MAX_INHERITED)
            inherited[nr_inherited++] = fd;
    }
    if (dir)
        closedir(dir);
}

void supervisor_save(struct supervisor *s)
{
    s->state.lost = s->log.lost;
    (void)instance_put_state(s->instance, &s->state, NULL); /* the next one may succeed */
}

void supervisor_output(struct supervisor *s, enum log_stream stream, const char *bytes, size_t len)
{
    bool lost = s->log.lost != 0;

    log_feed(&s->log, stream, bytes, len);
    control_output(s, stream, bytes, len);
    if (!lost && s->log.lost)
        supervisor_save(s); /* `inspect` tells while it happens */
}

/* What failed before there was a runner to say it. */
static void complain(struct supervisor *s, const char *text)
{
    char *line CLEANUP(mem_free) = str_printf("ingot run: %s\n", text);

    supervisor_output(s, LOG_STDERR, line, strlen(line));
}

/* To who started us: nothing for success, or why not. */
static void tell_ready(struct supervisor *s, const char *why)
{
    if (s->ready < 0)
        return;
    if (why)
        (void)!write(s->ready, why, strlen(why)); /* if he has gone, nobody asks */
    fd_close(&s->ready);
    s->ready = -1;
}

static void close_pair(int pair[2])
{
    fd_close(&pair[0]);
    fd_close(&pair[1]);
}

/* In the child: what is the supervisor's alone is closed, above all the lock. */
static void run_runner(struct supervisor *s, int in, int out, int err, int started, pid_t parent)
{
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGUSR1); /* a word to stop waits until the guest is there to hear it */
    sigprocmask(SIG_SETMASK, &held, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(1);
    if ((in >= 0 && dup2(in, STDIN_FILENO) < 0) || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0)
        _exit(STATUS_FAILED);
    int crash = instance_subfolder(s->instance, "crash"); /* without it there are no reports */
    int *ours[] = {&in,
                   &s->input.fd,
                   &s->signals,
                   &s->control,
                   &s->ready,
                   &s->out,
                   &s->err,
                   &s->started,
                   &out,
                   &err,
                   &s->log.fd,
                   &s->health.fd,
                   &s->instance->dir,
                   &s->instance->lock};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        fd_close(ours[i]);
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        fd_close(&s->clients[i].fd);
    const struct runner_wires wires = {.started = started,
                                       .monitor = max(s->monitor, 0),
                                       .guest = max(s->guest, 0),
                                       .crash = max(crash, 0),
                                       .again = s->was_up};
    int status = s->plan->run(s->plan->context, &wires);
    fflush(stdout);
    fflush(stderr);
    _exit(status);
}

static int spawn(struct supervisor *s)
{
    int in = -1, out[2] = {-1, -1}, err[2] = {-1, -1}, started[2] = {-1, -1};
    pid_t parent = getpid();

    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(started, O_CLOEXEC) < 0)
        goto fail;
    input_close(&s->input);
    if (s->plan->input && input_open(&s->input, &in) < 0)
        goto fail;
    if (s->plan->vm) /* without it it cannot be paused, */
        s->monitor = instance_listen(s->instance, "qmp");
    s->guest = instance_listen(s->instance, "guest"); /* or asked */
    s->out = out[0];
    s->err = err[0];
    s->started = started[0];
    pid_t child = fork();
    if (child == 0)
        run_runner(s, in, out[1], err[1], started[1], parent);
    if (child < 0) {
        s->out = s->err = s->started = -1;
        goto fail;
    }
    fd_close(&in);
    fd_close(&out[1]);
    fd_close(&err[1]);
    fd_close(&started[1]);
    fd_close(&s->monitor);
    fd_close(&s->guest);
    s->monitor = s->guest = -1;
    s->runner = child;
    s->up = false;
    s->why[0] = 0;
    return 0;

fail:;
    int failed = -errno;
    fd_close(&in);
    input_close(&s->input);
    close_pair(out);
    close_pair(err);
    close_pair(started);
    return failed;
}

/* The VMM runs. */
static void note_up(struct supervisor *s)
{
    s->up = s->was_up = true;
    s->up_since = ticks_ms();
    s->killed = false;
    s->state.status = INSTANCE_RUNNING;
    s->state.runner = s->runner;
    s->state.started = instance_clock();
    s->state.error[0] = 0;
    health_start(&s->health, &s->plan->health);
    if (s->plan->health.kind)
        str_copy(s->state.health, health_name(s->health.status), sizeof(s->state.health));
    supervisor_save(s);
    event_write(s->instance->name, "start", NULL);
    tell_ready(s, NULL);
}

static bool policy_wants(const struct supervisor *s)
{
    const struct restart_policy *policy = &s->plan->restart;

    if (s->state.stopped || s->over)
        return false;
    switch (policy->kind) {
    case RESTART_NO:
        return false;
    case RESTART_ON_FAILURE:
        return s->state.exit_code && (!policy->max || s->state.restarts < policy->max);
    case RESTART_ALWAYS:
    case RESTART_UNLESS_STOPPED:
        return true;
    }
    return false;
}

/* It has ended, or never began: again, later, or no more. */
static void go_on(struct supervisor *s)
{
    u64 now = ticks_ms();

    if (!policy_wants(s) || s->ready >= 0) { /* nobody waits for a start that failed at first */
        s->over = true;
        s->state.status = INSTANCE_EXITED;
        return;
    }
    if (s->up && now - s->up_since >= UP_LONG_MS)
        s->pause_ms = 0;
    s->pause_ms = s->pause_ms ? min(s->pause_ms * 2, (u64)PAUSE_MAX_MS) : PAUSE_FIRST_MS;
    s->start_at = now + s->pause_ms;
    s->state.status = INSTANCE_RESTARTING;
    supervisor_save(s);
}

static void start(struct supervisor *s)
{
    int failed = spawn(s);

    s->start_at = 0;
    if (!failed)
        return;
    snprintf(s->why, sizeof(s->why), "cannot start a process: %s", strerror(-failed));
    complain(s, s->why);
    str_copy(s->state.error, s->why, sizeof(s->state.error));
    s->state.exit_code = STATUS_FAILED;
    s->up = false;
    go_on(s);
}

static void take_stream(struct supervisor *s, int *fd, enum log_stream stream)
{
    char bytes[16384];
    ssize_t got = read(*fd, bytes, sizeof(bytes));

    if (got > 0) {
        supervisor_output(s, stream, bytes, (size_t)got);
    } else if (got == 0 || errno != EINTR) {
        fd_close(fd);
        *fd = -1;
    }
}

/* A zero byte: the VMM runs; anything else are words of why it does not. */
static void take_started(struct supervisor *s)
{
    char text[1024];
    ssize_t got = read(s->started, text, sizeof(text) - 1);

    if (got > 0 && !text[0]) {
        note_up(s);
    } else if (got > 0) {
        text[got] = 0;
        str_copy(s->why, text, sizeof(s->why));
        return;
    }
    fd_close(&s->started);
    s->started = -1;
}

/* What the dead one still had to say; what it left behind may hold the pipes a little longer. */
static void drain(struct supervisor *s)
{
    u64 deadline = ticks_ms() + LINGER_MS;

    while (s->started >= 0)
        take_started(s);
    while (s->out >= 0 || s->err >= 0) {
        struct pollfd set[] = {{.fd = s->out, .events = POLLIN}, {.fd = s->err, .events = POLLIN}};
        u64 now = ticks_ms();
        if (now >= deadline || poll(set, 2, (int)(deadline - now)) <= 0)
            break;
        if (set[0].revents)
            take_stream(s, &s->out, LOG_STDOUT);
        if (set[1].revents)
            take_stream(s, &s->err, LOG_STDERR);
    }
    fd_close(&s->out);
    fd_close(&s->err);
    s->out = s->err = -1;
    log_flush(&s->log);
}

static void reap(struct supervisor *s)
{
    int status;

    if (!s->runner || waitpid(s->runner, &status, WNOHANG) != s->runner)
        return;
    s->runner = s->state.runner = 0;
    s->kill_at = 0;
    drain(s);
    health_end(&s->health);
    s->state.health[0] = 0;
    s->state.finished = instance_clock();
    s->state.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (!s->up) {
        str_copy(s->state.error, *s->why ? s->why : "it ended before its VMM ran",
                 sizeof(s->state.error));
        s->state.exit_code = STATUS_FAILED;
    }
    event_write(s->instance->name, "die", json_pack("{s:i}", "ExitCode", s->state.exit_code));
    go_on(s);
}

int supervisor_pause(struct supervisor *s, bool pause, struct err *err)
{
    struct qmp qmp CLEANUP(qmp_close) = {.fd = -1};
    struct err why = {0};
    int failed = 0;

    if ((s->state.status == INSTANCE_PAUSED) == pause || !s->runner)
        return 0;
    if (s->plan->vm) {
        failed = qmp_open(&qmp, instance_connect(s->instance, "qmp"), MONITOR_MS, &why);
        if (!failed)
            failed = qmp_call(&qmp, pause ? "stop" : "cont", NULL, NULL, &why);
    } else {
        struct tree tree CLEANUP(tree_fini);
        tree_read(s->runner, &tree);
        for (size_t i = 1; i < tree.len; i++) /* the first is the runner, who holds no time */
            kill(tree.at[i].pid, pause ? SIGSTOP : SIGCONT);
    }
    if (failed)
        return err_set(err, why.code, "%s", why.text);
    if (!pause && s->plan->vm)
        (void)guest_resume(s->instance, NULL, NULL); /* its clock is late, and it runs */
    s->state.status = pause ? INSTANCE_PAUSED : INSTANCE_RUNNING;
    supervisor_save(s);
    event_write(s->instance->name, pause ? "pause" : "unpause", NULL);
    return 0;
}

void supervisor_stop(struct supervisor *s, u64 ms, bool by_user)
{
    s->state.stopped |= by_user;
    supervisor_save(s);
    s->over = true; /* no start after this end */
    if (!s->runner) {
        s->state.status = INSTANCE_EXITED;
        s->start_at = 0;
        return;
    }
    (void)supervisor_pause(s, false, NULL); /* a paused one would not hear; the deadline remains */
    kill(s->runner, ms ? SIGUSR1 : SIGQUIT);
    u64 at = ticks_ms() + ms;
    if (!s->kill_at || at < s->kill_at)
        s->kill_at = at;
}

static void take_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(s);
        else
            supervisor_stop(s, s->plan->grace_ms, false);
    }
}

static void do_what_is_due(struct supervisor *s, short health_ready)
{
    u64 now = ticks_ms();

    control_drop_late(s, now);
    if (s->kill_at && now >= s->kill_at && s->runner) {
        kill(s->runner, SIGQUIT);
        s->kill_at = now + LINGER_MS; /* a runner that does not even do that */
        if (s->killed)
            kill(s->runner, SIGKILL);
        s->killed = true;
    }
    if (s->start_at && now >= s->start_at) {
        s->state.restarts++;
        event_write(s->instance->name, "restart", NULL);
        start(s);
    }
    if (s->state.status == INSTANCE_RUNNING && health_step(&s->health, health_ready)) {
        str_copy(s->state.health, health_name(s->health.status), sizeof(s->state.health));
        supervisor_save(s);
        event_write(s->instance->name, "health_status",
                    json_pack("{s:s}", "Health", s->state.health));
    }
}

enum slots {
    SLOT_SIGNALS,
    SLOT_CONTROL,
    SLOT_OUT,
    SLOT_ERR,
    SLOT_STARTED,
    SLOT_INPUT,
    SLOT_HEALTH,
    SLOT_CLIENTS
};

static int wait_for_something(struct supervisor *s, struct pollfd *set)
{
    struct pollfd health;
    u64 now = ticks_ms(), at = UINT64_MAX, late_at;
    bool behind = control_is_behind(s, &late_at);
    u64 deadlines[] = {s->kill_at, s->start_at, health_poll(&s->health, &health), late_at};

    if (s->state.status != INSTANCE_RUNNING) /* one that is paused is not asked how it feels */
        deadlines[2] = 0, health.fd = -1;
    for (size_t i = 0; i < ARRAY_LEN(deadlines); i++)
        at = deadlines[i] ? min(at, deadlines[i]) : at;
    set[SLOT_SIGNALS] = (struct pollfd){.fd = s->signals, .events = POLLIN};
    set[SLOT_CONTROL] = (struct pollfd){.fd = s->control, .events = POLLIN};
    set[SLOT_OUT] = (struct pollfd){.fd = behind ? -1 : s->out, .events = POLLIN};
    set[SLOT_ERR] = (struct pollfd){.fd = behind ? -1 : s->err, .events = POLLIN};
    set[SLOT_STARTED] = (struct pollfd){.fd = s->started, .events = POLLIN};
    set[SLOT_INPUT] = (struct pollfd){.fd = s->input.len ? s->input.fd : -1, .events = POLLOUT};
    set[SLOT_HEALTH] = health;
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        control_poll(s, &s->clients[i], &set[SLOT_CLIENTS + i]);
    int wait_ms = at == UINT64_MAX ? -1 : at <= now ? 0 : (int)min(at - now, (u64)INT_MAX);
    return poll(set, SLOT_CLIENTS + MAX_CLIENTS, wait_ms);
}

static void dispatch(struct supervisor *s, const struct pollfd *set)
{
    if (set[SLOT_STARTED].revents)
        take_started(s);
    if (set[SLOT_OUT].revents)
        take_stream(s, &s->out, LOG_STDOUT);
    if (set[SLOT_ERR].revents)
        take_stream(s, &s->err, LOG_STDERR);
    if (set[SLOT_INPUT].revents)
        input_flush(&s->input);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &s->clients[i];
        const struct pollfd *entry = &set[SLOT_CLIENTS + i];
        if (entry->revents && (entry->events & POLLOUT) && client->fd == entry->fd)
            control_catch_up(client);
        if ((entry->revents & ~POLLOUT) && client->fd == entry->fd)
            control_input(s, client);
    }
    if (set[SLOT_CONTROL].revents)
        control_accept(s);
    if (set[SLOT_SIGNALS].revents)
        take_signal(s);
}

static void loop(struct supervisor *s)
{
    struct pollfd set[SLOT_CLIENTS + MAX_CLIENTS];

    start(s);
    while (!s->over || s->runner) {
        int ready = wait_for_something(s, set);
        if (ready > 0)
            dispatch(s, set);
        do_what_is_due(s, ready > 0 ? set[SLOT_HEALTH].revents : 0);
    }
}

/* The last state, then the lock, then (by our end) the sockets: who sees one sees those before. */
static void finish(struct supervisor *s)
{
    bool never = s->ready >= 0;

    log_fini(&s->log);
    control_end(s);
    s->state.pid = 0;
    supervisor_save(s);
    unlinkat(s->instance->dir, "control", 0);
    unlinkat(s->instance->dir, "qmp", 0);
    if (s->plan->remove || (never && s->plan->start_new)) {
        if (!instance_remove(s->instance, NULL) && !never)
            event_write(s->instance->name, "destroy", NULL);
    }
    fd_close(&s->instance->lock);
    tell_ready(s, *s->why ? s->why : "it ended before its VMM ran");
}

static void block_signals(sigset_t *set)
{
    static const int taken[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};

    sigemptyset(set);
    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        sigaddset(set, taken[i]);
    sigprocmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void supervise(const struct supervisor_plan *plan, int control, int ready)
{
    struct supervisor s = {.plan = plan,
                           .instance = plan->instance,
                           .control = control,
                           .ready = ready,
                           .monitor = -1,
                           .guest = -1,
                           .out = -1,
                           .err = -1,
                           .started = -1,
                           .input = {.fd = -1},
                           .health = {.fd = -1}};
    sigset_t set;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (size_t i = 0; i < nr_inherited; i++)
        close(inherited[i]);
    setsid();
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    fd_close(&null);
    block_signals(&set);
    s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        s.clients[i].fd = -1;
    log_init(&s.log, &plan->log, plan->instance->dir);
    s.state.pid = getpid();
    loop(&s);
    finish(&s);
    _exit(0);
}

static int wait_until_up(int ready, struct err *err)
{
    struct buf why CLEANUP(buf_free) = {0};
    char piece[512];
    ssize_t got;

    while ((got = read(ready, piece, sizeof(piece))) > 0 || (got < 0 && errno == EINTR))
        if (got > 0)
            buf_add(&why, piece, (size_t)got);
    return why.len ? err_set(err, EIO, "%s", buf_text(&why)) : 0;
}

int supervisor_start(const struct supervisor_plan *plan, struct err *err)
{
    int ready[2];
    int control = instance_listen(plan->instance, "control");

    if (control < 0)
        return err_errno(err, -control, "instance '%s': its socket", plan->instance->name);
    if (pipe2(ready, O_CLOEXEC) < 0) {
        int code = errno;
        close(control);
        return err_errno(err, code, "instance '%s'", plan->instance->name);
    }
    fflush(stdout);
    fflush(stderr);
    malloc_trim(0); /* what making an image took, the supervisor and its runner would keep */
    pid_t child = fork();
    if (child == 0) {
        close(ready[0]);
        supervise(plan, control, ready[1]);
    }
    int code = errno;
    close(control);
    close(ready[1]);
    int failed =
        child < 0 ? err_errno(err, code, "cannot start a process") : wait_until_up(ready[0], err);
    close(ready[0]);
    instance_close(plan->instance);
    return failed;
}
