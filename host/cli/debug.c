/* ingot debug: gdb on the kernel and the program of an instance that runs. */
#include "cli/debug.h"

#include "cli/cli.h"
#include "cli/instances.h"
#include "cli/run_priv.h"

#include "image/image.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"
#include "lib/qmp.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MONITOR_MS = 10000,
};

struct debug_options {
    const char *core;
};

static const struct option_spec debug_specs[] = {
    {"core", 0, OPTION_TEXT, offsetof(struct debug_options, core), "FILE",
     "look at the core file of a crash report instead"},
    {0},
};

/* A command of QEMU's monitor for people, and what it says. */
static int monitor(struct qmp *qmp, const char *line, char **said, struct err *err)
{
    json_t *answer CLEANUP(json_put) = NULL;
    int failed = qmp_call(qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line),
                          &answer, err);

    if (!failed && said)
        *said = str_dup(json_string_value(answer) ? json_string_value(answer) : "");
    return failed;
}

/* Where the interrupt table is linked to lie: gdb itself reads the file. */
static int linked_idt(const char *gdb, const char *kernel, u64 *address, struct err *err)
{
    struct buf out CLEANUP(buf_free) = {0};
    const char *const argv[] = {
        gdb, "-nx", "-batch", "-ex", "printf \"%lu\", (unsigned long)&idt", kernel, NULL};
    const struct proc ask = {.argv = argv, .out = &out};
    int failed = proc_check(&ask, err);

    *address = failed ? 0 : strtoull(buf_text(&out), NULL, 10);
    return failed || *address ? failed : err_set(err, EINVAL, "kernel '%s' has no symbols", kernel);
}

/* How far from there it is: a kernel lies at another place after each start. */
static int find_offset(struct qmp *qmp, const char *gdb, const char *kernel, u64 *offset,
                       struct err *err)
{
    char *registers CLEANUP(mem_free) = NULL;
    u64 linked = 0;
    int failed = monitor(qmp, "info registers", &registers, err);

    if (!failed)
        failed = linked_idt(gdb, kernel, &linked, err);
    if (failed)
        return failed;
    const char *idt = strstr(registers, "IDT=");
    u64 at = idt ? strtoull(idt + strlen("IDT="), NULL, 16) : 0;
    if (!at)
        return err_set(err, EAGAIN, "its kernel has not come far enough yet");
    *offset = at - linked;
    return 0;
}

/* gdb's words, up to those of the program and the user. */
static void debug_argv(struct strs *argv, const char *gdb, const char *kernel, u64 offset,
                       const char *attach)
{
    strs_add(argv, gdb);
    strs_add(argv, "-q");
    strs_add(argv, "-ex");
    strs_add(argv, "set confirm off");
    strs_add(argv, "-ex");
    strs_add(argv, "set pagination off");
    strs_add(argv, "-ex");
    strs_add(argv, attach);
    strs_add(argv, "-ex");
    strs_take(argv, str_printf("add-symbol-file %s -o 0x%llx", kernel, (unsigned long long)offset));
}

/* The terminal's Ctrl-C is gdb's meanwhile. */
static int run_gdb(const struct strs *argv, struct err *err)
{
    int status;

    signal(SIGINT, SIG_IGN);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        execv(argv->at[0], argv->at);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return err_errno(err, errno, "gdb");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int debug_vm(const struct instance *instance, const struct image *image, const char *gdb,
                    const char *kernel, char *const *words, struct err *err)
{
    struct qmp qmp CLEANUP(qmp_close) = {.fd = -1};
    struct strs argv CLEANUP(strs_free) = {0};
    char *folder CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, err);
    u64 offset = 0;
    int failed = folder ? 0 : -err->code;

    if (!failed)
        failed = qmp_open(&qmp, instance_connect(instance, "qmp"), MONITOR_MS, err);
    if (!failed)
        failed = find_offset(&qmp, gdb, kernel, &offset, err);
    if (failed)
        return failed;
    char *start CLEANUP(mem_free) = str_printf("gdbserver unix:%s/gdb,server=on,wait=off", folder);
    failed = monitor(&qmp, start, NULL, err);
    if (failed)
        return failed;
    char *attach CLEANUP(mem_free) = str_printf("target remote %s/gdb", folder);
    debug_argv(&argv, gdb, kernel, offset, attach);
    debug_add_program(&argv, instance, image, folder);
    for (; *words; words++)
        strs_add(&argv, *words);
    int status = run_gdb(&argv, err);
    (void)monitor(&qmp, "gdbserver none", NULL, NULL);
    (void)qmp_call(&qmp, "cont", NULL, NULL, NULL); /* however gdb ended, the guest goes on */
    return status;
}

/* What is left are gdb's words, which begin with dashes as well. */
static int debug_core_run(const char *path, char *const *words, struct err *err)
{
    struct strs argv CLEANUP(strs_free) = {0};
    char *gdb CLEANUP(mem_free) = proc_find("gdb", err);
    int failed = gdb ? debug_core(path, gdb, words, &argv, err) : -err->code;

    return failed ? failed : run_gdb(&argv, err);
}

static int debug_run(int argc, char **argv, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct debug_options options = {0};
    struct instance_state state;
    int words;

    if (argc > 2 && strcmp(argv[1], "--core") == 0)
        return debug_core_run(argv[2], argv + 3, err);
    if (argc > 1 && str_starts(argv[1], "--core="))
        return debug_core_run(argv[1] + strlen("--core="), argv + 2, err);
    int done = cli_options(&command_debug, argc, argv, OPTIONS_FIRST, &options, &words, err);

    if (done)
        return min(done, 0);
    if (!words)
        return err_set(err, ERR_USAGE, "which instance? 'ingot ps' lists those that run");
    int failed = instance_open(&instance, argv[1], err);
    if (failed)
        return failed;
    json_t *config CLEANUP(json_put) = instance_config(&instance, err);
    if (!config)
        return -err->code;
    instance_get_state(&instance, &state);
    if (!instance_is_live(&instance) || state.status != INSTANCE_RUNNING)
        return err_set(err, ESRCH, "instance '%s' is not running", instance.name);
    if (strcmp(json_str(config, "Isolation", "vm"), "vm") != 0)
        return err_set(
            err, EOPNOTSUPP,
            "instance '%s' is a process of this machine; 'gdb -x tools/ingot.gdb' starts "
            "one under gdb (docs/guide/isolation.md)",
            instance.name);
    struct image image CLEANUP(image_free) = {0};
    struct err no_image = {0};
    setenv("INGOT_HOME", json_str(config, "Store", ""), 1);
    (void)image_resolve(json_str(config, "ImageId", ""), &(struct image_opts){0}, &image,
                        &no_image);
    char *gdb CLEANUP(mem_free) = proc_find("gdb", err);
    char *kernel CLEANUP(mem_free) = gdb ? run_find_kernel(NULL, err) : NULL;
    return kernel ? debug_vm(&instance, &image, gdb, kernel, argv + 2, err) : -err->code;
}

const struct command command_debug = {
    .name = "debug",
    .summary = "Attach gdb to an instance, with the symbols of its kernel and program",
    .usage = "NAME|--core FILE [GDB-OPTION...]",
    .options = debug_specs,
    .help = "A VM stands still while gdb looks, and goes on when gdb leaves.\n"
            "  ingot debug cache\n"
            "  ingot debug cache -batch -ex bt\n"
            "  ingot debug --core crashes/crash-1.core",
    .run = debug_run,
};
