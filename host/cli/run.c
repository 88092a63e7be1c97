/* `ingot run`: from a target to a running guest to the program's exit status. */
#include "cli/cli.h"
#include "cli/run_priv.h"

#include "image/image.h"
#include "instance/supervisor.h"
#include "lib/cleanup.h"
#include "lib/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPTION(field) offsetof(struct run_options, field)

static const struct option_spec run_option_specs[] = {
    {"env", 'e', OPTION_TEXTS, OPTION(env), "NAME[=VALUE]", "set a variable, or pass ours on"},
    {"env-file", 0, OPTION_TEXTS, OPTION(env_files), "FILE", "set the variables that FILE lists"},
    {"memory", 'm', OPTION_TEXT, OPTION(memory), "SIZE", "memory of the guest (256M)"},
    {"cpus", 0, OPTION_NUMBER, OPTION(cpus), "N", "CPUs of the guest (1)"},
    {"workdir", 'w', OPTION_TEXT, OPTION(workdir), "DIR", "working directory in the guest"},
    {"user", 'u', OPTION_TEXT, OPTION(user), "USER[:GROUP]",
     "start it as this user of the image, by name or number"},
    {"hostname", 0, OPTION_TEXT, OPTION(hostname), "NAME", "host name of the guest"},
    {"entrypoint", 0, OPTION_TEXT, OPTION(entrypoint), "PATH", "start this program instead"},
    {"file", 0, OPTION_TEXTS, OPTION(files), "HOST:GUEST", "add a file or a folder"},
    {"with", 0, OPTION_TEXTS, OPTION(with), "NAME", "add the run-time extras of NAME"},
    {"program", 0, OPTION_TEXT, OPTION(program), "NAME", "which program of a project folder"},
    {"rebuild", 0, OPTION_FLAG, OPTION(rebuild), NULL, "build anew, whatever the cache has"},
    {"no-patch", 0, OPTION_FLAG, OPTION(no_patch), NULL, "leave system calls as they are"},
    {"seal", 0, OPTION_FLAG, OPTION(seal), NULL, "refuse calls that are not in the image"},
    {"allow-exec", 0, OPTION_TEXTS, OPTION(exec), "PROGRAM", "let it start this program too"},
    {"single", 0, OPTION_FLAG, OPTION(single), NULL, "one process: no fork, no execve"},
    {"detach", 'd', OPTION_FLAG, OPTION(detach), NULL, "leave it running; print its name"},
    {"label", 'l', OPTION_TEXTS, OPTION(labels), "KEY[=VALUE]",
     "with -d: a word to find it by with ps --filter"},
    {"restart", 0, OPTION_TEXT, OPTION(restart), "POLICY",
     "no, on-failure[:N], always or unless-stopped"},
    {"log-driver", 0, OPTION_TEXT, OPTION(log_driver), "NAME",
     "json (the default), text, syslog, journald or none"},
    {"log-opt", 0, OPTION_TEXTS, OPTION(log_opts), "KEY=VALUE", "max-size, max-file, tag, address"},
    {"health-cmd", 0, OPTION_TEXT, OPTION(health_cmd), "CHECK", "tcp:PORT or http:PORT/PATH"},
    {"health-interval", 0, OPTION_TEXT, OPTION(health_interval), "TIME",
     "time between two checks (30s)"},
    {"health-timeout", 0, OPTION_TEXT, OPTION(health_timeout), "TIME",
     "time that one may take (30s)"},
    {"health-start-period", 0, OPTION_TEXT, OPTION(health_start), "TIME",
     "failures before this do not count"},
    {"health-retries", 0, OPTION_NUMBER, OPTION(health_retries), "N",
     "failures in a row that count (3)"},
    {"no-healthcheck", 0, OPTION_FLAG, OPTION(no_health), NULL, "whatever the image says"},
    {"interactive", 'i', OPTION_SWITCH, OPTION(interactive), NULL,
     "pass standard input (the default; =false: empty)"},
    {"tty", 't', OPTION_SWITCH, OPTION(tty), NULL,
     "give it the terminal (the default on one; =false)"},
    {"rm", 0, OPTION_FLAG, OPTION(rm), NULL, "with -d: remove it once it has ended"},
    {"name", 0, OPTION_TEXT, OPTION(name), "NAME", "its name for the other commands"},
    {"crash-dir", 0, OPTION_TEXT, OPTION(crash_dir), "DIR",
     "keep a report and a core file of what dies of a fault"},
    {"profile", 0, OPTION_TEXT, OPTION(profile), "FILE",
     "draw where its time goes (.svg), or list it (.folded)"},
    {"boot-chart", 0, OPTION_TEXT, OPTION(boot_chart), "FILE",
     "draw how long its start takes (SVG)"},
    {"kernel", 0, OPTION_TEXT, OPTION(kernel), "FILE", "boot this kernel"},
    {"machine", 0, OPTION_TEXT, OPTION(machine), "TYPE", "microvm (the default), q35 or pc"},
    {"accel", 0, OPTION_TEXT, OPTION(accel), "NAME", "kvm, tcg or auto: kvm where it is quick"},
    {"isolation", 0, OPTION_TEXT, OPTION(isolation), "KIND", "vm, process or auto"},
    {"volume", 'v', OPTION_TEXTS, OPTION(volumes), "VOLUME:PATH[:ro]",
     "mount a volume, or an ext4 image, in it"},
    {"tmpfs", 0, OPTION_TEXTS, OPTION(tmpfs), "PATH[:size=SIZE]", "mount an empty tmpfs in it"},
    {"publish", 'p', OPTION_TEXTS, OPTION(publish), "[HOST:]GUEST",
     "forward a port of this machine to it"},
    {"net", 0, OPTION_TEXT, OPTION(net), "KIND", "user, none or tap:NAME[,ip=ADDRESS/N]"},
    {"pcap", 0, OPTION_TEXT, OPTION(pcap), "FILE", "capture its packets"},
    {"append", 0, OPTION_TEXTS, OPTION(append), "WORDS", "more words for the kernel"},
    {"trace", 0, OPTION_MAYBE, OPTION(trace), "[=FILE]", "print every system call"},
    {"missing", 0, OPTION_FLAG, OPTION(missing), NULL, "print paths looked for and not found"},
    {"loglevel", 0, OPTION_NUMBER, OPTION(loglevel), "N", "kernel messages to show, 0 to 7 (4)"},
    {"stop-signal", 0, OPTION_TEXT, OPTION(stop_signal), "SIGNAL", "what Ctrl-C sends"},
    {"stop-timeout", 0, OPTION_NUMBER, OPTION(stop_timeout), "SECONDS",
     "time to stop before the VM is ended (10)"},
    {"timeout", 0, OPTION_NUMBER, OPTION(timeout), "SECONDS", "end the VM after this time"},
    {"verbose", 0, OPTION_FLAG, OPTION(verbose), NULL, "show the exact VMM command"},
    {"dry-run", 0, OPTION_FLAG, OPTION(dry_run), NULL, "print the VMM command, start nothing"},
    {"quiet", 'q', OPTION_FLAG, OPTION(quiet), NULL, "no progress, no kernel messages"},
    {NULL, 0, OPTION_FLAG, 0, NULL, NULL},
};

static void run_options_fini(struct run_options *options)
{
    strs_free(&options->env);
    strs_free(&options->env_files);
    strs_free(&options->files);
    strs_free(&options->append);
    strs_free(&options->with);
    strs_free(&options->publish);
    strs_free(&options->labels);
    strs_free(&options->imports);
    strs_free(&options->exec);
    strs_free(&options->log_opts);
    strs_free(&options->volumes);
    strs_free(&options->tmpfs);
}

static int run_check(const struct run_options *options, struct err *err)
{
    if (options->stop_timeout < 0)
        return err_set(err, ERR_USAGE, "--stop-timeout: it cannot be negative");
    if (options->timeout < 0)
        return err_set(err, ERR_USAGE, "--timeout: it cannot be negative");
    for (size_t i = 0; i < options->labels.len; i++)
        if (!options->labels.at[i][0] || options->labels.at[i][0] == '=')
            return err_set(err, ERR_USAGE, "--label: '%s' has no name", options->labels.at[i]);
    int failed = cli_hostname(options->hostname, err);
    return failed ? failed : cli_loglevel(options->loglevel, err);
}

static int run_describe(const struct run_guest *guest, FILE *to, struct err *err)
{
    char *command CLEANUP(mem_free) = NULL;
    int failed = guest->vmm->describe(&guest->config, &command, err);

    if (!failed)
        fprintf(to, "%s\n", command);
    return failed;
}

/* A name is for others to find it by: in the foreground it is an instance too, until it ends. */
static int run_named(const struct run_guest *guest, const struct run_options *options,
                     const struct image *image, char *const *args, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};

    if (!options->name)
        return run_guest(guest, options, err);
    int status = run_register(options, image, args, &instance, err);
    if (status)
        return status;
    status = run_guest(guest, options, err);
    (void)instance_remove(&instance, NULL); /* what is left of it reads as dead */
    return status;
}

static int run_image(const struct run_options *options, const struct image *image,
                     char *const *args, struct err *err)
{
    struct run_guest guest CLEANUP(run_guest_fini) = {.crash_fd = -1};
    int failed = run_guest_init(&guest, options, image, args, err);

    if (failed)
        return failed;
    if (options->dry_run)
        return run_describe(&guest, stdout, err);
    if (options->verbose)
        failed = run_describe(&guest, stderr, err);
    return failed ? failed : run_named(&guest, options, image, args, err);
}

/* Started with a closed stream, we would hand its number to a channel of the guest. */
static void run_open_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", O_RDWR); /* the lowest number that is free: this one */
}

static int run_resolve(const struct run_options *options, const char *target, struct image *image,
                       struct err *err)
{
    const struct image_opts opts = {
        .with = &options->with,
        .exec = &options->exec,
        .imports = &options->imports,
        .program = options->program,
        .quiet = options->quiet,
        .rebuild = options->rebuild,
        .no_patch = options->no_patch,
    };

    run_open_streams();
    return image_resolve(target, &opts, image, err);
}

/* Parse argv from "run" on.  1: help was wanted and printed. */
static int run_parse(struct run_options *options, int argc, char **argv, struct err *err)
{
    int words;

    *options = (struct run_options){
        .cpus = 1, .loglevel = 4, .stop_timeout = 10, .interactive = -1, .tty = -1};
    int done = cli_options(&command_run, argc, argv, OPTIONS_FIRST, options, &words, err);
    if (done)
        return done;
    if (!words)
        return err_set(err, ERR_USAGE, "nothing to run; see 'ingot run --help'");
    return run_check(options, err);
}

/* Ports that the user left to us are chosen once, so that all who parse them see the same. */
static int run_settle_ports(struct run_options *options, struct err *err)
{
    for (size_t i = 0; i < options->publish.len; i++) {
        bool picked;
        char *full = vm_net_settle_port(options->publish.at[i], &picked, err);
        if (!full)
            return -err->code;
        free(options->publish.at[i]);
        options->publish.at[i] = full;
        if (picked && !options->detach && !options->quiet)
            fprintf(stderr, "ingot run: published: %s\n", full);
    }
    return 0;
}

static int run_main(int argc, char **argv, struct err *err)
{
    struct run_options options CLEANUP(run_options_fini) = {0};
    struct image image CLEANUP(image_free) = {0};
    struct strs written CLEANUP(strs_free) = {0};

    for (int i = 0; i < argc; i++)
        strs_add(&written, argv[i]);
    int done = run_parse(&options, argc, argv, err);
    if (done)
        return min(done, 0);
    bool detach = options.detach && !options.dry_run;
    if (detach)
        supervisor_note_inherited();
    char *program CLEANUP(mem_free) = image_in_path(argv[1]);
    const char *target = program ? program : argv[1];
    if (program && !options.quiet)
        cli_tell_path(argv[1], program);
    run_bring_named(&options, target, argv + 2);
    int failed = run_settle_ports(&options, err);
    if (!failed)
        failed = run_resolve(&options, target, &image, err);
    if (failed)
        return failed;
    if (image.fresh)
        cli_prune_old();
    if (detach)
        return run_detached(&options, &image, argv + 2, &written, NULL, err);
    return run_image(&options, &image, argv + 2, err);
}

static void run_settled_ports(const json_t *config, struct strs *publish)
{
    const json_t *ports = json_object_get(config, "Ports"), *port;
    size_t i;

    strs_free(publish);
    json_array_foreach(ports, i, port)
    {
        char *full CLEANUP(mem_free) = str_printf(
            "%s:%u:%u/%s", json_str(port, "HostIp", "0.0.0.0"), (unsigned)json_int(port, "Host", 0),
            (unsigned)json_int(port, "Guest", 0), json_str(port, "Protocol", "tcp"));
        strs_add(publish, full);
    }
}

/* What was settled when it was made stays: where it began, its image, its variables, its ports, its
 * volumes, its ground. */
static int run_settle(const json_t *config, struct run_options *options, struct err *err)
{
    strs_free(&options->env);
    strs_free(&options->env_files);
    json_strs(config, "Env", &options->env);
    run_settled_ports(config, &options->publish);
    if (json_object_get(config, "Volumes")) {
        strs_free(&options->volumes);
        json_strs(config, "Volumes", &options->volumes);
    }
    const char *net = json_str(config, "Net", "");
    options->net = *net ? net : options->net;
    options->isolation = json_str(config, "Isolation", NULL);
    setenv("INGOT_HOME", json_str(config, "Store", ""), 1);
    const char *cwd = json_str(config, "Cwd", "/");
    return chdir(cwd) < 0 ? err_errno(err, errno, "its working directory '%s'", cwd) : 0;
}

static int run_from_config(struct instance *instance, const json_t *config,
                           const struct run_state *state, struct err *err)
{
    struct run_options options CLEANUP(run_options_fini) = {0};
    struct image image CLEANUP(image_free) = {0};
    struct strs words CLEANUP(strs_free) = {0};

    if (!json_strs(config, "Words", &words) || words.len < 2)
        return err_set(err, EINVAL, "its config.json is damaged");
    /* The parser moves words about; the list frees each where it was. */
    char **argv CLEANUP(mem_free) = mem_new((words.len + 1) * sizeof(*argv));
    memcpy(argv, words.at, words.len * sizeof(*argv));
    int failed = run_parse(&options, (int)words.len, argv, err);
    if (!failed)
        failed = run_settle(config, &options, err);
    if (!failed)
        failed = run_resolve(&options, json_str(config, "ImageId", ""), &image, err);
    if (failed)
        return failed;
    char *program CLEANUP(mem_free) = image_in_path(argv[1]);
    run_bring_named(&options, program ? program : argv[1], argv + 2);
    options.state = *state;
    return run_detached(&options, &image, argv + 2, NULL, instance, err);
}

int run_from(struct instance *instance, const struct run_state *state, struct err *err)
{
    char *name CLEANUP(mem_free) = str_dup(instance->name);
    json_t *config CLEANUP(json_put) = instance_config(instance, err);
    int failed = config ? run_from_config(instance, config, state, err) : -err->code;

    instance_close(instance);
    return failed && config ? err_prefix(err, "instance '%s'", name) : failed;
}

int run_again(struct instance *instance, struct err *err)
{
    int failed = instance_lock(instance, err);

    return failed ? failed : run_from(instance, &(struct run_state){0}, err);
}

const struct command command_run = {
    .name = "run",
    .summary = "Run a program, a source file, a project or an image as a unikernel",
    .usage = "[OPTIONS] TARGET [ARG...]",
    .options = run_option_specs,
    .help =
        "The program's output, input and exit status are those of this command;\n"
        "125 means that ingot or the guest failed, 126 and 127 that the image's program could not\n"
        "start.\n\n"
        "TARGET is an image of the store, else a program, by its path or by a name in PATH, else\n"
        "a C or C++ file, a project folder or a container image (FILE.tar, oci:DIR); ./NAME is "
        "always\n"
        "what this folder has.\n\n"
        "Examples:\n"
        "  ingot run echo hello\n"
        "  ingot run examples/hello/hello.c\n"
        "  ingot run python3 app.py\n"
        "  ingot run -e NAME=x -m 64M --file ./a.txt:/data/a.txt cat /data/a.txt",
    .run = run_main,
    .failed_status = RUN_STATUS_FAILED,
};
