/* From options and an image to the guest's configuration: its kernel, its command line, its layers.
 *
 * What is said for one run goes on the command line. Where that is too short, or a variable's name
 * would be mistaken for a word of the kernel, program, arguments and environment go into an image
 * config of their own, in a layer made for this run. */
#include "cli/run_priv.h"

#include "cli/cli.h"
#include "image/config.h"
#include "image/image.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "lib/json.h"
#include "lib/own.h"
#include "vm/cmdline.h"
#include "vm/cpu_facts.h"
#include "vm/terminal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysinfo.h>

enum {
    DEFAULT_MEMORY = 256 << 20,
    LEAST_IN_PROCESS = 2 << 20,
    VMM_WORDS = 400, /* bytes of the command line left to the VMM for its devices */
    SEED_BYTES = 32,
};

static bool run_is_file(const char *path)
{
    return fs_exists(path) && !fs_is_dir(path);
}

char *run_find_kernel(const char *wish, struct err *err)
{
    const char *variable = getenv("INGOT_KERNEL");

    if (!wish && variable && *variable)
        wish = variable;
    if (wish) {
        if (run_is_file(wish))
            return str_dup(wish);
        err_set(err, ENOENT, "kernel '%s': no such file", wish);
        return NULL;
    }
    char *kernel = own_path("ingot-kernel");
    if (kernel)
        return kernel;
    err_set(err, ENOENT,
            "no kernel found beside this program or in %s; name one with --kernel or INGOT_KERNEL",
            INGOT_LIBEXECDIR);
    return NULL;
}

/* "SIGTERM", "term" or "15"; 0 for none of the kind. */
static int run_signal_number(const char *text)
{
    if (isdigit((unsigned char)*text)) {
        int number = atoi(text);
        return number < NSIG ? number : 0;
    }
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (int number = 1; number < NSIG; number++) {
        const char *name = sigabbrev_np(number);
        if (name && strcasecmp(name, text) == 0)
            return number;
    }
    return 0;
}

static void run_add_seed(struct buf *params)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char seed[SEED_BYTES];

    if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
        return;
    buf_puts(params, " ingot.entropy=");
    char *at = buf_grow(params, 2 * sizeof(seed)); /* thirty calls of printf() are 8 us */
    for (size_t i = 0; i < sizeof(seed); i++) {
        *at++ = digits[seed[i] >> 4];
        *at++ = digits[seed[i] & 15];
    }
}

static void run_add_terminal(struct buf *params)
{
    unsigned columns, rows;

    if (terminal_size(STDIN_FILENO, &columns, &rows))
        buf_printf(params, " ingot.columns=%u ingot.rows=%u", columns, rows);
}

static void run_add_exec(struct buf *params, const struct strs *exec)
{
    struct buf words CLEANUP(buf_free) = {0};

    for (size_t i = 0; i < exec->len; i++)
        buf_printf(&words, "%s%s", i ? ":" : "", exec->at[i]);
    if (exec->len)
        cmdline_add_pair(params, "ingot.exec", buf_text(&words));
}

/* The words that are never the program's business. */
static int run_add_kernel_words(struct run_guest *guest, const struct run_options *options,
                                struct err *err)
{
    struct buf *params = &guest->params;
    u64 khz = cpu_facts()->tsc_khz;

    bool more = options->profile || options->boot_chart;
    buf_printf(params, "console=ttyS0 loglevel=%ld", options->loglevel + (more ? 8 : 0));
    if (khz)
        buf_printf(params, " tsc_early_khz=%llu", (unsigned long long)khz);
    run_add_seed(params);
    if (guest->config.tty)
        run_add_terminal(params);
    if (options->trace)
        buf_puts(params, " ingot.trace=1");
    if (options->missing || run_hints(options))
        buf_printf(params, " ingot.missing=%d", options->missing ? 1 : 2);
    if (options->seal)
        buf_puts(params, " ingot.seal=1");
    if (options->single)
        buf_puts(params, " ingot.single=1");
    if (options->profile)
        buf_puts(params, " ingot.profile=1");
    if (guest->config.report)
        buf_puts(params, " ingot.report=1");
    run_add_exec(params, &options->exec);
    if (options->hostname)
        cmdline_add_pair(params, "ingot.hostname", options->hostname);
    char *net CLEANUP(mem_free) = vm_net_word(&guest->net, options->hostname);
    if (net)
        buf_printf(params, " %s", net);
    if (guest->net.unasked && guest->vmm == &process_vmm) /* where a start waits for nothing */
        buf_puts(params, " ingot.net=used");
    if (options->workdir)
        cmdline_add_pair(params, "ingot.cwd", options->workdir);
    if (options->user)
        cmdline_add_pair(params, "ingot.user", options->user);
    if (options->stop_signal) {
        int number = run_signal_number(options->stop_signal);
        if (!number)
            return err_set(err, ERR_USAGE, "--stop-signal: unknown signal '%s'",
                           options->stop_signal);
        buf_printf(params, " ingot.stopsignal=%d", number);
    }
    for (size_t i = 0; i < options->append.len; i++)
        buf_printf(params, " %s", options->append.at[i]);
    return 0;
}

/* Program, environment and arguments as command line words.  Returns false if they do not fit. */
static bool run_add_program_words(struct run_guest *guest, const struct run_options *options,
                                  const struct strs *env, char *const *args)
{
    size_t before = guest->params.len;

    for (size_t i = 0; i < env->len; i++) {
        const char *value = strchr(env->at[i], '=');
        char *name CLEANUP(mem_free) = str_printf("%.*s", (int)(value - env->at[i]), env->at[i]);
        if (!cmdline_env_fits(name, strlen(name)))
            goto undo;
        cmdline_add_pair(&guest->params, name, value + 1);
    }
    if (options->entrypoint)
        cmdline_add_pair(&guest->params, "init", options->entrypoint);
    for (size_t i = 0; args[i]; i++)
        cmdline_add(&guest->args, args[i]);
    if (guest->params.len + guest->args.len + VMM_WORDS <= CMDLINE_MAX)
        return true;
undo:
    guest->params.len = before;
    if (guest->params.data)
        guest->params.data[before] = 0;
    buf_free(&guest->args);
    return false;
}

/* The image's config with this run's program, arguments and environment, as JSON text. */
static char *run_config_text(const struct run_options *options, const struct image *image,
                             const struct strs *env, char *const *args)
{
    const struct image_config *from = &image->config;
    struct strs entrypoint CLEANUP(strs_free) = {0}, cmd CLEANUP(strs_free) = {0},
                           all_env CLEANUP(strs_free) = {0};

    if (options->entrypoint)
        strs_add(&entrypoint, options->entrypoint);
    else
        strs_add_all(&entrypoint, &from->entrypoint);
    for (size_t i = 0; args[i]; i++)
        strs_add(&cmd, args[i]);
    if (!cmd.len && !options->entrypoint)
        strs_add_all(&cmd, &from->cmd);
    strs_add_all(&all_env, &from->env);
    strs_add_all(&all_env, env);
    json_t *config = config_json(from);
    json_object_set_new(config, "Entrypoint", json_from_strs(&entrypoint));
    json_object_set_new(config, "Cmd", json_from_strs(&cmd));
    json_object_set_new(config, "Env", json_from_strs(&all_env));
    json_t *root CLEANUP(json_put) = json_pack("{s:o}", "config", config);
    return root ? json_text(root, 0) : NULL;
}

/* One more layer, of this run: --file, and what its words name. */
static int run_add_files(struct run_guest *guest, const struct run_options *options,
                         const struct image *image, struct err *err)
{
    const struct layer_opts opts = {.rebuild = options->rebuild,
                                    .libraries = options->of_this_machine};
    bool kept;
    int fd = layer_from_files(&options->files, image, &opts, &kept, err);

    if (fd < 0)
        return fd;
    if (kept)
        cli_prune_old();
    guest->extra_layers[guest->nr_extra++] = fd;
    return 0;
}

/* A layer of this run with its image config. */
static int run_add_config(struct run_guest *guest, const struct image *image, const char *config,
                          struct err *err)
{
    struct strs pairs CLEANUP(strs_free) = {0};
    char *dir CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, err);
    bool kept;

    if (!dir)
        return -err->code;
    char *path CLEANUP(mem_free) = fs_join(dir, "config.json");
    int failed = fs_write(path, config, strlen(config), 0644, err);
    if (failed)
        return failed;
    strs_take(&pairs, str_printf("%s:/.ingot/config.json", path));
    int fd = layer_from_files(&pairs, image, &(struct layer_opts){.rebuild = true}, &kept, err);
    if (fd >= 0)
        guest->extra_layers[guest->nr_extra++] = fd;
    return min(fd, 0);
}

static void run_set_layers(struct run_guest *guest, const struct image *image)
{
    size_t count = image->layers.len;

    guest->layers = mem_new((count + guest->nr_extra) * sizeof(*guest->layers));
    for (size_t i = 0; i < count; i++)
        guest->layers[i] = (struct vm_layer){.path = image->layers.at[i], .fd = -1};
    for (size_t i = 0; i < guest->nr_extra; i++)
        guest->layers[count++] =
            (struct vm_layer){.path = "files of this run", .fd = guest->extra_layers[i]};
    guest->config.layers = guest->layers;
    guest->config.nr_layers = count;
}

/* It runs, each a little at a time, but hardly as it was meant. */
static void run_note_cpus(long wanted)
{
    long online = wanted > 1 ? sysconf(_SC_NPROCESSORS_ONLN) : 0; /* which reads a file */

    if (online > 0 && wanted > online)
        fprintf(stderr, "ingot run: --cpus %ld: this machine has %ld, which they share\n", wanted,
                online);
}

/* Memory and swap of this machine; UINT64_MAX if it does not tell. */
static u64 run_host_memory(void)
{
    struct sysinfo info;

    return sysinfo(&info) < 0 ? UINT64_MAX : ((u64)info.totalram + info.totalswap) * info.mem_unit;
}

static int run_set_machine(struct run_guest *guest, const struct run_options *options,
                           struct err *err)
{
    static const char *const accels[] = {
        [VM_ACCEL_AUTO] = "auto", [VM_ACCEL_TCG] = "tcg", [VM_ACCEL_KVM] = "kvm"};
    struct vm_config *config = &guest->config;
    const char *accel = options->accel ? options->accel : "auto";
    size_t choice = 0;

    config->memory_bytes = DEFAULT_MEMORY;
    if (options->memory && !run_parse_size(options->memory, &config->memory_bytes))
        return err_set(err, ERR_USAGE, "--memory: '%s' is no size; say 64M or 1G", options->memory);
    u64 least = guest->vmm == &qemu_vmm ? RUN_LEAST_IN_VM : LEAST_IN_PROCESS;
    if (config->memory_bytes < least)
        return err_set(err, EINVAL, "--memory: '%s' is too little; %d MiB is the least that boots",
                       options->memory, (int)(least >> 20));
    if (config->memory_bytes > run_host_memory())
        return err_set(err, EINVAL,
                       "--memory: '%s' is more than the %llu MiB that this machine has",
                       options->memory, (unsigned long long)run_host_memory() >> 20);
    if (options->cpus < 1 || options->cpus > 255)
        return err_set(err, ERR_USAGE, "--cpus: %ld is not in 1 to 255", options->cpus);
    run_note_cpus(options->cpus);
    while (choice < ARRAY_LEN(accels) && strcmp(accels[choice], accel) != 0)
        choice++;
    if (choice == ARRAY_LEN(accels))
        return err_set(err, ERR_USAGE, "--accel: '%s' is none of auto, kvm and tcg", accel);
    config->cpus = (unsigned)options->cpus;
    config->machine = options->machine;
    config->name = options->name;
    if (guest->vmm == &qemu_vmm)
        config->accel = vm_choose_accel((enum vm_accel)choice);
    return 0;
}

static int run_set_net(struct run_guest *guest, const struct run_options *options, struct err *err)
{
    struct vm_net *net = &guest->net;
    int failed = vm_net_parse(net, options->net ? options->net : "user", err);

    for (size_t i = 0; !failed && i < options->publish.len; i++)
        failed = vm_net_publish(net, options->publish.at[i], err);
    if (failed)
        return failed;
    net->pcap = options->pcap;
    net->moving = options->state.moving;
    net->late = options->state.moving || options->state.file;
    net->unasked = !options->net && !options->publish.len && !options->pcap;
    guest->config.net = net;
    return vm_net_check(net, err);
}

static int run_set_terminal(struct run_guest *guest, const struct run_options *options,
                            struct err *err)
{
    bool in_and_out = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);

    guest->config.tty = options->tty == 1;
    if (options->detach) /* its terminal is that of who attaches to it */
        return 0;
    if (options->tty == 1 && !in_and_out)
        return err_set(err, EINVAL, "--tty: standard input and output are not a terminal");
    /* Unasked only where nothing is redirected: a terminal makes stdout and stderr one. */
    guest->config.tty = options->tty == 1 || (options->tty < 0 && options->interactive != 0 &&
                                              in_and_out && isatty(STDERR_FILENO));
    if (guest->config.tty)
        guest->config.operator_line = VM_LINE_OURS;
    return 0;
}

static int run_set_environment(const struct run_guest *guest, const struct run_options *options,
                               struct strs *env, struct err *err)
{
    const char *term = getenv("TERM");

    if (guest->config.tty)
        strs_take(env, str_printf("TERM=%s", term && *term ? term : "xterm"));
    return run_environment(options, env, err);
}

/* Before anything runs: who asks for reports shall not learn after a crash that there are none. */
static int run_open_crash_dir(struct run_guest *guest, const struct run_options *options,
                              struct err *err)
{
    if (options->crash_fd > 0) {
        guest->crash_fd = fcntl(options->crash_fd, F_DUPFD_CLOEXEC, 3);
    } else if (options->crash_dir) {
        int failed = fs_mkdirs(options->crash_dir, err);
        if (failed)
            return err_prefix(err, "--crash-dir");
        guest->crash_fd = open(options->crash_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (guest->crash_fd < 0)
            return err_errno(err, errno, "--crash-dir: '%s'", options->crash_dir);
    }
    guest->config.report = guest->crash_fd >= 0 || options->profile;
    return 0;
}

int run_guest_init(struct run_guest *guest, const struct run_options *options,
                   const struct image *image, char *const *args, struct err *err)
{
    struct strs env CLEANUP(strs_free) = {0};
    char *config CLEANUP(mem_free) = NULL;

    *guest = (struct run_guest){
        .crash_fd = -1,
    };
    int failed = run_choose_ground(options, image, &guest->vmm, err);
    if (failed)
        return failed;
    guest->title =
        options->name ? str_printf("%s, of %s", options->name, image->name) : str_dup(image->name);
    memcpy(guest->image_id, image->id, sizeof(guest->image_id));
    guest->config.no_input = options->interactive == 0;
    failed = run_set_machine(guest, options, err);
    if (!failed)
        failed = run_open_crash_dir(guest, options, err);
    if (!failed)
        failed = run_open_volumes(guest, options, err);
    if (!failed)
        failed = run_set_net(guest, options, err);
    if (!failed)
        failed = run_set_terminal(guest, options, err);
    if (!failed)
        failed = run_set_environment(guest, options, &env, err);
    if (!failed)
        failed = run_add_kernel_words(guest, options, err);
    if (!failed)
        failed = run_add_tmpfs(guest, options, err);
    if (failed)
        return failed;
    guest->kernel = run_find_kernel(options->kernel, err);
    if (!guest->kernel)
        return -err->code;
    if (!run_add_program_words(guest, options, &env, args))
        config = run_config_text(options, image, &env, args);
    if (options->files.len)
        failed = run_add_files(guest, options, image, err);
    if (!failed && config)
        failed = run_add_config(guest, image, config, err);
    if (failed)
        return failed;
    run_set_layers(guest, image);
    guest->config.kernel = guest->kernel;
    guest->config.params = buf_text(&guest->params);
    guest->config.args = guest->args.len ? buf_text(&guest->args) : NULL;
    return 0;
}

void run_guest_fini(struct run_guest *guest)
{
    mem_free(&guest->kernel);
    mem_free(&guest->title);
    mem_free(&guest->layers);
    buf_free(&guest->params);
    buf_free(&guest->args);
    for (size_t i = 0; i < guest->nr_extra; i++)
        fd_close(&guest->extra_layers[i]);
    fd_close(&guest->crash_fd);
    run_close_volumes(guest);
    vm_net_fini(&guest->net);
}
