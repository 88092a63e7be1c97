#include "vm/relay.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vm/guest_log.h"
#include "vm/relay_line.h"
#include "vm/report.h"
#include "vm/terminal.h"
#include "vm/vmm.h"

#include <errno.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FLOW_SIZE = 64 << 10,
    DIAG_MAX = 64 << 10,
    ESCAPE_KEY = 0x1d, /* Ctrl-] */
    ESCAPE_TIMES = 3,
    ESCAPE_MS = 1000,
    TRIM_AFTER_MS = 100,
    LINGER_MS = 2000, /* what a VMM gets to end by itself after the guest's last words */
    ECHO_MS = 200,    /* signals so near to each other are one wish */
};

/* Bytes in one direction. */
struct flow {
    int from, to; /* -1 once closed */
    bool from_guest;
    size_t chunk;      /* what one write() may carry without ever blocking */
    size_t start, len; /* what was read and not yet written */
    char *bytes;       /* FLOW_SIZE of them; owned, NULL before the first */
};

/* Entries of the poll set. */
enum {
    SLOT_SIGNALS,
    SLOT_LOG,
    SLOT_DIAG,
    SLOT_IN,
    SLOT_OUT,
    SLOT_ERR,
    SLOT_UP,
    SLOT_REPORT,
    SLOT_SINKS,
    SLOT_LINE = SLOT_SINKS + 2,
    NR_SLOTS = SLOT_LINE + RELAY_LINE_SLOTS
};

struct state {
    const struct relay *relay;
    int signals;
    bool log_open, diag_open, report_open;
    struct flow in, out, err;
    struct relay_line line;
    u64 kill_at_ms, timeout_at_ms, linger_at_ms, stopped_at_ms; /* 0: not set */
    bool killed, timed_out;
    bool device_lost;  /* the process that plays the guest's devices ended before the guest */
    bool lost;         /* a sink refused bytes for another reason than that its reader had left */
    bool trimmed;      /* pages of this program that only a start needs were let go */
    bool watch_escape; /* keys come from a terminal */
    unsigned escapes;
    u64 escape_since_ms;
};

static u64 relay_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

static void relay_signals(sigset_t *set)
{
    static const int held[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1, SIGWINCH};

    sigemptyset(set);
    for (size_t i = 0; i < ARRAY_LEN(held); i++)
        sigaddset(set, held[i]);
}

void relay_hold_signals(void)
{
    sigset_t set;

    relay_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

void relay_release_signals(void)
{
    sigset_t set;

    relay_signals(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* A blocking write of up to PIPE_BUF bytes does not block where poll() says there is room; files
 * never do. */
static size_t flow_chunk(int to)
{
    struct stat st;

    return fstat(to, &st) == 0 && S_ISREG(st.st_mode) ? FLOW_SIZE : PIPE_BUF;
}

static void flow_init(struct flow *flow, int from, int to)
{
    flow->from = from;
    flow->to = to;
    flow->chunk = to < 0 ? 0 : flow_chunk(to);
    flow->start = flow->len = 0;
}

static bool flow_is_done(const struct flow *flow)
{
    return flow->to < 0 || (flow->from < 0 && !flow->len);
}

/* Nobody takes the bytes any more. A guest that makes them is told by the closing of its socket; a
 * socket that the user gave us as input is not ours to close. */
static void flow_break(struct flow *flow)
{
    if (flow->from >= 0 && flow->from_guest)
        shutdown(flow->from, SHUT_RDWR);
    flow->from = flow->to = -1;
    flow->len = 0;
}

static bool flow_error_is_passing(void)
{
    return errno == EINTR || errno == EAGAIN;
}

static void flow_fill(struct flow *flow)
{
    if (!flow->bytes) /* a guest that has the user's own streams needs none */
        flow->bytes = mem_new(FLOW_SIZE);
    ssize_t got = read(flow->from, flow->bytes, FLOW_SIZE);

    if (got > 0) {
        flow->start = 0;
        flow->len = (size_t)got;
    } else if (got == 0 || !flow_error_is_passing()) {
        flow->from = -1;
    }
}

/* Returns whether bytes are lost that somebody still wanted: those of a flow with a name. */
static bool flow_drain(struct flow *flow, const char *what)
{
    size_t len = min(flow->len, flow->chunk);
    ssize_t put = write(flow->to, flow->bytes + flow->start, len);

    if (put > 0) {
        flow->start += (size_t)put;
        flow->len -= (size_t)put;
        return false;
    }
    if (put == 0 || flow_error_is_passing())
        return false;
    bool lost = what && errno != EPIPE;
    if (lost)
        fprintf(stderr, "ingot: %s: %s\n", what, strerror(errno));
    flow_break(flow);
    return lost;
}

/* Three quick Ctrl-] end a guest that listens to nothing, as in systemd-nspawn. */
static void relay_watch_escape(struct state *state)
{
    const struct flow *flow = &state->in;

    for (size_t i = 0; i < flow->len; i++) {
        u64 now = relay_now_ms();
        if (flow->bytes[flow->start + i] != ESCAPE_KEY ||
            (state->escapes && now - state->escape_since_ms > ESCAPE_MS))
            state->escapes = 0;
        if (flow->bytes[flow->start + i] != ESCAPE_KEY)
            continue;
        if (!state->escapes++)
            state->escape_since_ms = now;
        if (state->escapes >= ESCAPE_TIMES)
            state->kill_at_ms = now;
    }
}

static void relay_input(struct state *state)
{
    struct flow *flow = &state->in;

    if (flow->from >= 0 && !flow->len) {
        flow_fill(flow);
        if (state->watch_escape)
            relay_watch_escape(state);
    }
    if (flow->len)
        (void)flow_drain(flow, NULL); /* a program may leave its input unread */
    if (flow->from < 0 && !flow->len && flow->to >= 0) {
        /* Half a close: QEMU takes what is in the socket before it sees the end. A terminal port
         * has no such half. */
        if (state->relay->vm->ch.tty < 0)
            shutdown(flow->to, SHUT_WR);
        flow->to = -1;
    }
}

static void relay_log(struct state *state)
{
    char bytes[4096];
    ssize_t got = read(state->relay->vm->ch.log, bytes, sizeof(bytes));

    if (got > 0) {
        guest_log_feed(state->relay->log, bytes, (size_t)got);
    } else if (got == 0 || !flow_error_is_passing()) {
        guest_log_flush(state->relay->log);
        state->log_open = false;
    }
    if (state->relay->log->end == GUEST_PANIC && state->relay->panicked && !state->linger_at_ms) {
        state->relay->panicked(state->relay->context);
        vm_kill(state->relay->vm);
    }
    if (state->relay->log->end != GUEST_RUNNING && !state->linger_at_ms)
        state->linger_at_ms = relay_now_ms() + LINGER_MS;
}

static void relay_report(struct state *state)
{
    char bytes[65536];
    ssize_t got = read(state->relay->vm->ch.report, bytes, sizeof(bytes));

    if (got == 0 || (got < 0 && !flow_error_is_passing()))
        state->report_open = false;
    for (ssize_t at = 0; at < got && state->relay->report;)
        at += (ssize_t)report_feed(state->relay->report, bytes + at, (size_t)(got - at));
}

/* Without its devices a guest is of no use for long: its program is asked to end. */
static void relay_check_device(struct state *state)
{
    struct vm *vm = state->relay->vm;

    if (vm->device <= 0)
        return;
    vm->device_status = vm_wait_device(vm);
    if (!vm->device_status || state->relay->log->end != GUEST_RUNNING || state->killed ||
        state->timed_out)
        return;
    state->device_lost = true;
    vm->vmm->stop(vm);
    if (!state->kill_at_ms)
        state->kill_at_ms = relay_now_ms() + state->relay->grace_ms;
}

static void relay_diag(struct state *state)
{
    char bytes[4096];
    ssize_t got = read(state->relay->vm->ch.diag, bytes, sizeof(bytes));

    if (got == 0 || (got < 0 && !flow_error_is_passing())) {
        state->diag_open = false;
        relay_check_device(state);
    } else if (got > 0 && state->relay->diag->len < DIAG_MAX)
        buf_add(state->relay->diag, bytes, (size_t)got);
}

/* The guest's terminal is as large as the user's. */
static void relay_tell_size(const struct state *state)
{
    unsigned columns, rows;

    if (state->relay->line != VM_LINE_OURS || !terminal_size(state->relay->in, &columns, &rows))
        return;
    char *request CLEANUP(mem_free) = str_printf("size %u %u\n", columns, rows);
    relay_line_say(&state->line, request);
}

/* The guest stops with us and goes on with us. */
static void relay_suspend(const struct state *state)
{
    struct vm *vm = state->relay->vm;

    terminal_restore();
    kill(vm->pid, SIGSTOP); /* its devices have nothing to do then */
    kill(getpid(), SIGSTOP);
    kill(vm->pid, SIGCONT);
    if (vm->ch.tty >= 0)
        (void)terminal_raw(state->relay->in); /* as good as it was before, or it is gone */
    relay_tell_size(state);
}

/* Is this signal what the one before was?  timeout(1) sends its own to us, then to the group that
 * we are in; supervisors send two kinds. */
static bool relay_is_echo(const struct state *state, u64 now)
{
    return state->stopped_at_ms && now - state->stopped_at_ms < ECHO_MS;
}

static void relay_stop(struct state *state, int signal_number)
{
    u64 now = relay_now_ms();

    if (signal_number != SIGQUIT && relay_is_echo(state, now))
        return;
    if (signal_number == SIGQUIT || state->kill_at_ms || !state->relay->grace_ms) {
        state->kill_at_ms = now;
        return;
    }
    state->relay->vm->vmm->stop(state->relay->vm);
    state->stopped_at_ms =
        relay_now_ms(); /* a busy VMM takes its time: what came then is an echo */
    state->kill_at_ms = now + state->relay->grace_ms;
    if (signal_number == SIGINT && isatty(STDERR_FILENO))
        fprintf(stderr, "ingot: asked the program to stop; Ctrl-C again ends it at once\n");
}

static void relay_signal(struct state *state)
{
    struct signalfd_siginfo info;

    if (read(state->signals, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGTSTP)
        relay_suspend(state);
    else if (info.ssi_signo == SIGWINCH)
        relay_tell_size(state);
    else if (info.ssi_signo == SIGUSR1)
        state->relay->vm->vmm->stop(state->relay->vm);
    else
        relay_stop(state, (int)info.ssi_signo);
}

/* What poll() should wait for on a flow: bytes while there are none, room while there are some. */
static void relay_poll_flow(const struct flow *flow, struct pollfd *entry)
{
    bool full = flow->len > 0;

    entry->fd = full ? flow->to : flow->from;
    entry->events = full ? POLLOUT : POLLIN;
    if (flow->to < 0)
        entry->fd = -1;
}

static int relay_forget_segment(struct dl_phdr_info *info, size_t size, void *arg)
{
    enum { PAGE = 4096 };

    (void)size, (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = ALIGN_DOWN(info->dlpi_addr + p->p_vaddr, (uintptr_t)PAGE);
        if (p->p_type == PT_LOAD && !(p->p_flags & PF_W))
            (void)madvise((void *)start, info->dlpi_addr + p->p_vaddr + p->p_memsz - start,
                          MADV_DONTNEED); /* what is wanted comes back from the page cache */
    }
    return 0;
}

/* A guest that is still there will be for a while, and what we needed to start it is in the way: a
 * megabyte of code, of which little is used from here on. */
static void relay_trim(struct state *state, int ready)
{
    if (ready || state->trimmed)
        return;
    state->trimmed = true;
    dl_iterate_phdr(relay_forget_segment, NULL);
}

static int relay_poll(struct state *state, struct pollfd *set)
{
    const struct relay *relay = state->relay;
    u64 at = UINT64_MAX;
    const u64 deadlines[] = {state->kill_at_ms, state->timeout_at_ms, state->linger_at_ms};

    set[SLOT_SIGNALS] = (struct pollfd){.fd = state->signals, .events = POLLIN};
    set[SLOT_LOG] =
        (struct pollfd){.fd = state->log_open ? relay->vm->ch.log : -1, .events = POLLIN};
    set[SLOT_DIAG] =
        (struct pollfd){.fd = state->diag_open ? relay->vm->ch.diag : -1, .events = POLLIN};
    relay_poll_flow(&state->in, &set[SLOT_IN]);
    relay_poll_flow(&state->out, &set[SLOT_OUT]);
    relay_poll_flow(&state->err, &set[SLOT_ERR]);
    set[SLOT_UP] =
        (struct pollfd){.fd = relay->vm->wants_up ? relay->vm->control : -1, .events = POLLIN};
    set[SLOT_REPORT] =
        (struct pollfd){.fd = state->report_open ? relay->vm->ch.report : -1, .events = POLLIN};
    /* No events asked for: only to hear that the reader has gone. */
    set[SLOT_SINKS] = (struct pollfd){.fd = state->out.len ? -1 : state->out.to};
    set[SLOT_SINKS + 1] = (struct pollfd){.fd = state->err.len ? -1 : state->err.to};

    relay_line_poll(&state->line, &set[SLOT_LINE]);

    for (size_t i = 0; i < ARRAY_LEN(deadlines); i++)
        if (deadlines[i])
            at = min(at, deadlines[i]);
    u64 now = relay_now_ms();
    if (!state->trimmed)
        at = min(at, now + TRIM_AFTER_MS);
    int wait_ms = at == UINT64_MAX ? -1 : at <= now ? 0 : (int)min(at - now, (u64)INT_MAX);
    int ready = poll(set, NR_SLOTS, wait_ms);
    relay_trim(state, ready);
    return ready;
}

static void relay_output(struct state *state, struct flow *flow, short ready, short sink,
                         const char *what)
{
    if (sink & (POLLERR | POLLHUP | POLLNVAL)) {
        flow_break(flow);
        return;
    }
    if (!ready)
        return;
    if (flow->len)
        state->lost |= flow_drain(flow, what);
    else
        flow_fill(flow);
}

static void relay_deadlines(struct state *state)
{
    u64 now = relay_now_ms();
    bool ended = state->relay->log->end != GUEST_RUNNING;

    state->killed |= !ended && state->kill_at_ms && now >= state->kill_at_ms;
    state->timed_out |= !ended && state->timeout_at_ms && now >= state->timeout_at_ms;
    if (!state->killed && !state->timed_out && !(state->linger_at_ms && now >= state->linger_at_ms))
        return;
    vm_kill(state->relay->vm);
    state->kill_at_ms = state->timeout_at_ms = state->linger_at_ms = 0;
}

static bool relay_is_over(const struct state *state)
{
    return !state->log_open && !state->diag_open && !state->report_open &&
           flow_is_done(&state->out) && flow_is_done(&state->err);
}

static void relay_fini(struct state *state)
{
    fd_close(&state->signals);
    mem_free(&state->in.bytes);
    mem_free(&state->out.bytes);
    mem_free(&state->err.bytes);
}

static void relay_init(struct state *state, const struct relay *relay)
{
    const struct vm_channels *ch = &relay->vm->ch;
    bool tty = ch->tty >= 0;
    sigset_t set;

    relay_signals(&set);
    state->relay = relay;
    state->signals = signalfd(-1, &set, SFD_CLOEXEC);
    state->log_open = true;
    state->diag_open = ch->diag >= 0;
    state->watch_escape = tty && isatty(relay->in);
    state->report_open = ch->report >= 0;
    flow_init(&state->in, relay->in, tty ? ch->tty : ch->in);
    state->out.from_guest = state->err.from_guest = true;
    state->in.chunk = FLOW_SIZE; /* our ends of the channels never block */
    /* A guest that has the user's own streams leaves nothing to pass on. */
    bool direct = !tty && ch->out < 0;
    flow_init(&state->out, tty ? ch->tty : ch->out, direct ? -1 : relay->out);
    flow_init(&state->err, tty ? -1 : ch->err, direct ? -1 : relay->err);
    state->line =
        (struct relay_line){.listening = ch->line < 0 || relay->line <= 0 ? -1 : relay->line,
                            .guest = ch->line,
                            .caller = -1};
    state->timeout_at_ms = relay->timeout_ms ? relay_now_ms() + relay->timeout_ms : 0;
    if (relay->in < 0 && !direct)
        relay_input(state); /* an end of file right away */
}

static void relay_dispatch(struct state *state, const struct pollfd *set)
{
    const struct relay *relay = state->relay;

    if (set[SLOT_LOG].revents)
        relay_log(state);
    if (set[SLOT_DIAG].revents)
        relay_diag(state);
    if (set[SLOT_REPORT].revents)
        relay_report(state);
    relay_output(state, &state->out, set[SLOT_OUT].revents, set[SLOT_SINKS].revents,
                 "standard output");
    relay_output(state, &state->err, set[SLOT_ERR].revents, set[SLOT_SINKS + 1].revents, NULL);
    if (set[SLOT_IN].revents)
        relay_input(state);
    if (set[SLOT_UP].revents) {
        relay->vm->wants_up = false;
        if (set[SLOT_UP].revents & POLLIN) /* else the other side is gone */
            relay->vm->vmm->up(relay->vm);
        state->diag_open |= relay->vm->ch.diag >= 0 && relay->vm->late_started;
        relay->vm->late_started = false;
    }
    relay_line_take(&state->line, &set[SLOT_LINE]);
    if (set[SLOT_SIGNALS].revents)
        relay_signal(state);
}

enum relay_cause relay_run(const struct relay *relay)
{
    struct state state CLEANUP(relay_fini) = {0};
    struct pollfd set[NR_SLOTS];

    relay_init(&state, relay);
    while (!relay_is_over(&state)) {
        int ready = relay_poll(&state, set);
        relay_deadlines(&state);
        if (ready > 0)
            relay_dispatch(&state, set);
    }
    relay_line_end(&state.line);
    if (state.device_lost)
        return RELAY_DEVICE;
    if (state.killed)
        return RELAY_KILLED;
    if (state.timed_out)
        return RELAY_TIMEOUT;
    return state.lost ? RELAY_LOST : RELAY_GUEST;
}
