/* The run itself, and what to say when it ends: one line a cause, and the exit status. */
#include "cli/run_priv.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "vm/chart.h"
#include "vm/cpu_facts.h"
#include "vm/guest_log.h"
#include "vm/profile.h"
#include "vm/relay.h"
#include "vm/report.h"
#include "vm/symbols.h"
#include "vm/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a report of a panic is made from. */
struct run_panic {
    struct report *report;
    const struct guest_log *log;
    struct vm *vm;
};

/* Where the kernel's lines go while the guest runs. */
struct run_printer {
    const struct run_guest *guest;
    bool quiet;
    bool raw; /* the terminal is the guest's: a line's end needs a carriage return */
    FILE *trace;
    struct chart *chart; /* gets the marks of the start; NULL: nobody wants them */
    struct symbols symbols;
    bool symbols_loaded;
    bool learns;        /* the ground was chosen without being asked: it may be another next time */
    bool missing;       /* paths that were not found are for the user, as they come */
    struct strs missed; /* else they are kept for the end */
};

static void run_print(const struct run_printer *printer, FILE *to, const char *prefix,
                      const char *text)
{
    fprintf(to, "%s%s%s\n", prefix, text, printer->raw && to == stderr ? "\r" : "");
}

static void run_symbolize(void *context, const char *line, char *out, size_t size)
{
    struct run_printer *printer = context;

    if (!printer->symbols_loaded) {
        symbols_load(&printer->symbols, printer->guest->kernel);
        printer->symbols_loaded = true;
    }
    symbols_annotate(&printer->symbols, line, out, size);
}

/* A process has no other beside it: whoever wants one gets a VM the next time. */
static void run_learn(struct run_printer *printer, const char *text)
{
    if (!printer->learns || !strstr(text, "only a virtual machine has"))
        return;
    printer->learns = false;
    run_ground_learn(printer->guest->image_id);
    if (!printer->quiet)
        run_print(printer, stderr, "", "ingot run: started again, it gets a VM");
}

static void run_line(void *context, enum guest_line kind, const char *text)
{
    struct run_printer *printer = context;
    char named[GUEST_LOG_LINE + 256];

    switch (kind) {
    case GUEST_LINE_TRACE:
        run_print(printer, printer->trace, printer->trace == stderr ? "trace: " : "", text);
        return;
    case GUEST_LINE_MISSING:
        if (!printer->missing)
            strs_add(&printer->missed, text);
        else
            run_print(printer, stderr, "missing: ", text);
        return;
    case GUEST_LINE_FINAL:
        return;
    case GUEST_LINE_KERNEL:
        if (printer->chart && chart_line(printer->chart, text))
            return;
        if (!printer->quiet) {
            run_symbolize(printer, text, named, sizeof(named));
            run_print(printer, stderr, "ingot: guest: ", named);
        }
        run_learn(printer, text);
        return;
    }
}

/* The last line of what the VMM said, without its name in front; "" if it said nothing. */
static const char *run_last_words(struct buf *diag)
{
    while (diag->len && strchr("\r\n ", diag->data[diag->len - 1]))
        diag->data[--diag->len] = 0;
    const char *text = buf_text(diag);
    const char *line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    const char *colon = strstr(line, ": ");
    bool named = str_starts(line, "qemu-system") || str_starts(line, "ingot-device");
    return named && colon ? colon + 2 : line;
}

/* The VMM is gone and the guest never said how it ended. */
static int run_lost(const struct vmm *vmm, const struct guest_log *log, struct buf *diag,
                    int status)
{
    const char *words = run_last_words(diag);
    const char *last =
        log->nr_lines ? log->tail[(log->nr_lines - 1) % GUEST_LOG_TAIL] : "(it printed nothing)";

    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && vmm == &process_vmm)
        fprintf(stderr,
                "ingot run: the guest made a call to the host that its sandbox forbids; it was "
                "ended\n");
    else if (WIFSIGNALED(status))
        fprintf(stderr, "ingot run: %s was killed by signal %d (%s)%s%s\n", vmm->title,
                WTERMSIG(status), strsignal(WTERMSIG(status)), *words ? ": " : "", words);
    else if (*words)
        fprintf(stderr, "ingot run: %s: %s\n", vmm->title, words);
    else
        fprintf(stderr,
                "ingot run: the guest ended without saying how (reset, or too little memory; see "
                "--memory); its last line: %s\n",
                last);
    return RUN_STATUS_FAILED;
}

/* A guest that was too small is told from others by its words; the next try is at least twice as
 * large, and never so small that it would teach the user only a little. */
static void run_print_error(const struct guest_log *log, u64 memory_bytes)
{
    u64 next_mib = 16;

    fprintf(stderr, "ingot run: %s", log->why);
    while (next_mib << 20 < 2 * memory_bytes)
        next_mib *= 2;
    if (str_starts(log->why, "out of memory"))
        fprintf(stderr, "; -m %lluM may do", (unsigned long long)next_mib);
    fputc('\n', stderr);
}

/* What leaves a core file: signal(7). */
static bool run_is_crash(int number)
{
    static const int crashes[] = {SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,
                                  SIGFPE,  SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};

    for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
        if (crashes[i] == number)
            return true;
    return false;
}

static int run_report(const struct guest_log *log, struct run_printer *printer, struct buf *diag,
                      int status)
{
    switch (log->end) {
    case GUEST_EXIT:
        if (log->number)
            run_hint(&printer->missed);
        break;
    case GUEST_SIGNAL:
        if (run_is_crash(log->number) && !printer->guest->config.report && !printer->quiet)
            fprintf(stderr, "ingot run: --crash-dir DIR keeps a core file of this for gdb\n");
        break;
    case GUEST_ERROR:
        run_print_error(log, printer->guest->config.memory_bytes);
        break;
    case GUEST_PANIC:
        if (printer->quiet) /* else it has been shown, line by line */
            guest_log_print_tail(log, stderr, "ingot: guest: ", run_symbolize, printer);
        fprintf(stderr, "ingot run: the kernel panicked: %s\n", log->why);
        break;
    case GUEST_RUNNING:
        return run_lost(printer->guest->vmm, log, diag, status);
    }
    return guest_log_status(log);
}

static int run_lost_device(struct buf *diag, int status)
{
    const char *words = run_last_words(diag);

    if (WIFSIGNALED(status))
        fprintf(stderr,
                "ingot run: the device process was killed by signal %d (%s), so the guest lost its "
                "network and disks and was ended\n",
                WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        fprintf(stderr, "ingot run: the device process ended: %s\n",
                *words ? words : "it did not say why");
    return RUN_STATUS_FAILED;
}

static int run_status(enum relay_cause cause, const struct run_options *options,
                      const struct guest_log *log, struct run_printer *printer, struct buf *diag,
                      const struct vm *vm, int status)
{
    switch (cause) {
    case RELAY_DEVICE:
        return run_lost_device(diag, vm->device_status);
    case RELAY_TIMEOUT:
        fprintf(stderr, "ingot run: ended after %ld s (--timeout)\n", options->timeout);
        return RUN_STATUS_TIMEOUT;
    case RELAY_KILLED:
        fprintf(stderr, "ingot run: the program did not stop; %s was ended\n",
                printer->guest->vmm->title);
        return RUN_STATUS_KILLED;
    case RELAY_GUEST:
    case RELAY_LOST:
        break;
    }
    int end = run_report(log, printer, diag, status);
    return cause == RELAY_LOST && !end ? RUN_STATUS_LOST : end;
}

/* The kernel waits for this before it ends. */
static void run_panicked(void *context)
{
    const struct run_panic *panic = context;
    struct report *report = panic->report;
    struct err err = {0};

    if (!report_begin(report, panic->log->why, 0, 0))
        return;
    int fd = report_core(report);
    if (fd >= 0 && panic->vm->vmm->dump(panic->vm, fd, REPORT_CORE_MAX, &err))
        report_lack(report, err.text);
    report_end(report, 0);
}

static int run_open_trace(struct run_printer *printer, const char *path, struct err *err)
{
    printer->trace = stderr;
    if (!path || !*path)
        return 0;
    printer->trace = fopen(path, "we");
    return printer->trace ? 0 : err_errno(err, errno, "--trace: '%s'", path);
}

/* That a drawing cannot be written is better known before the program has run than after. */
static int run_check_drawing(const char *option, const char *path, struct err *err)
{
    if (!path)
        return 0;
    int fd CLEANUP(fd_close) = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? err_errno(err, errno, "--%s: '%s'", option, path) : 0;
}

static void run_printer_fini(struct run_printer *printer)
{
    symbols_fini(&printer->symbols);
    strs_free(&printer->missed);
    if (printer->trace && printer->trace != stderr)
        fclose(printer->trace);
}

/* A drawing that fails is said, and changes no exit status. */
static void run_draw(const struct run_options *options, struct profile *profile,
                     struct chart *chart)
{
    struct err err = {0};

    if (options->profile && profile_write(profile, options->profile, &err))
        fprintf(stderr, "ingot run: %s\n", err.text);
    if (!options->boot_chart)
        return;
    chart_now(chart, "end");
    if (chart_write(chart, options->boot_chart, &err))
        fprintf(stderr, "ingot run: %s\n", err.text);
}

int run_guest(const struct run_guest *guest, const struct run_options *options, struct err *err)
{
    struct run_printer printer CLEANUP(run_printer_fini) = {.guest = guest,
                                                            .quiet = options->quiet,
                                                            .missing = options->missing,
                                                            .learns = run_ground_is_auto(options),
                                                            .raw = guest->config.tty};
    struct guest_log log CLEANUP(guest_log_fini);
    struct buf diag CLEANUP(buf_free) = {0};
    struct profile profile CLEANUP(profile_fini);
    struct report report CLEANUP(report_fini);
    struct vm vm CLEANUP(vm_fini);

    vm_init(&vm);
    guest_log_init(&log, run_line, &printer);
    report_init(&report, guest->crash_fd);
    profile_init(&profile, guest->layers, guest->config.nr_layers);
    report.profile = options->profile ? &profile : NULL;
    report.take_sample = profile_add;
    report.title = guest->title;
    report.log = &log;
    report.symbolize = run_symbolize;
    report.context = &printer;
    int failed = run_open_trace(&printer, options->trace, err);
    if (!failed)
        failed = run_check_drawing("profile", options->profile, err);
    if (!failed)
        failed = run_check_drawing("boot-chart", options->boot_chart, err);
    if (failed)
        return failed;
    fflush(stdout); /* what was said so far comes before what the program says */
    relay_hold_signals();
    if (guest->config.tty) /* before a guest that has the terminal itself can say a word */
        (void)terminal_raw(STDIN_FILENO); /* if it fails, keys merely come line by line */
    struct chart chart;
    chart_begin(&chart, cpu_facts()->tsc_khz, guest->vmm == &process_vmm);
    printer.chart = options->boot_chart || options->profile ? &chart : NULL;
    failed = guest->vmm->start(&guest->config, &vm, err);
    if (failed)
        goto release;
    log.report = vm.ch.report < 0 && guest->config.report ? &report : NULL;
    if (guest->config.incoming)
        failed = run_go_on(guest, options, &vm, err);
    if (failed)
        goto release;
    if (guest->started)
        (void)!write(guest->started, "", 1); /* whoever waited for it has gone: then nobody does */
    if (guest->config.moving)
        run_settle_in(guest, &vm);
    struct run_panic panic = {.report = &report, .log = &log, .vm = &vm};
    const struct relay relay = {
        .vm = &vm,
        .log = &log,
        .report = &report,
        .panicked = guest->config.report ? run_panicked : NULL,
        .context = &panic,
        .diag = &diag,
        .in = options->interactive == 0 ? -1 : STDIN_FILENO,
        .out = STDOUT_FILENO,
        .err = STDERR_FILENO,
        .line = guest->config.operator_line,
        .grace_ms = (u64)options->stop_timeout * 1000,
        .timeout_ms = (u64)options->timeout * 1000,
    };
    enum relay_cause cause = relay_run(&relay);
    terminal_restore();
    int status = run_status(cause, options, &log, &printer, &diag, &vm, vm_wait(&vm));
    relay_release_signals();
    run_draw(options, &profile, &chart);
    return status;

release:
    terminal_restore();
    relay_release_signals();
    return failed;
}
