/* Which ground a guest runs on: a VM, isolated by hardware, where KVM is usable and quick or
 * something only a VM has was asked for; else a sandboxed process. */
#include "cli/run_priv.h"

#include "image/config.h"
#include "image/image.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/string.h"
#include "vm/boot_cache.h"
#include "vm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the user said: the option, or the variable; NULL for nothing. */
static const char *ground_wish(const struct run_options *options)
{
    const char *variable = getenv("INGOT_ISOLATION");

    if (options->isolation)
        return options->isolation;
    return variable && *variable ? variable : "auto";
}

/* Once until the machine boots again: it is the same every time. */
static void ground_tell(const char *which, const char *why, const char *what)
{
    char said[8];

    if (boot_cache_get(which, said, sizeof(said)))
        return;
    boot_cache_put(which, "1");
    fprintf(stderr, "ingot: %s%s (said once)\n", why, what);
}

static void ground_tell_process(const struct kvm_info *kvm)
{
    char *why CLEANUP(mem_free) = str_printf("no quick KVM here (%s)", kvm->why);

    ground_tell(
        "isolation-told", why,
        ", so programs run in a sandboxed process; --isolation vm gives them an emulated VM");
}

/* A host, or a container around us, that refuses what would hold us. */
static void ground_tell_no_filters(void)
{
    ground_tell("filters-told", "this host refuses seccomp filters",
                ", so programs run in a VM only, and QEMU without a sandbox of its own");
}

/* Programs that are good for nothing without others (kernel/sys/exec_allow.c has more, those which
 * also do something by themselves), and servers that are several processes as they come. */
static bool is_several(const char *path)
{
    static const char names[][16] = {
        "sh",       "bash",        "dash",      "ash",       "zsh",     "ksh",      "mksh",
        "fish",     "tini",        "dumb-init", "catatonit", "gosu",    "env",      "su-exec",
        "setpriv",  "docker-init", "s6-svscan", "runsvdir",  "apache2", "busybox",  "dropbear",
        "gunicorn", "gunicorn3",   "lighttpd",  "nginx",     "php-fpm", "rsync",    "sshd",
        "tmux",     "unicorn",     "varnishd",  "vsftpd",    "xargs",   "parallel", "supervisord",
        "celery",   "danted",      "exim4",     "proftpd",   "dovecot",
    };
    const char *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;

    for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return name && str_starts(name, "php-fpm");
}

/* What is remembered of an image that wanted a second process where there was none. */
static char *ground_memory(const char *image_id)
{
    return str_printf("processes-%.16s", image_id);
}

void run_ground_learn(const char *image_id)
{
    char *name CLEANUP(mem_free) = ground_memory(image_id);

    boot_cache_put(name, "1");
}

static bool ground_knows(const struct image *image)
{
    char *name CLEANUP(mem_free) = ground_memory(image->id);
    char said[8];

    return boot_cache_get(name, said, sizeof(said));
}

/* Only a VM has several processes: who names programs to start wants them, and who starts a shell,
 * a launcher or a server that has them; or a script that is one of these. */
static bool ground_wants_processes(const struct run_options *options, const struct image *image)
{
    const struct image_config *config = &image->config;
    const struct strs *words = config->entrypoint.len ? &config->entrypoint : &config->cmd;

    if (options->single)
        return false;
    if (options->exec.len || config_getenv(&config->labels, "org.ingot.exec"))
        return true;
    if (options->entrypoint)
        return is_several(options->entrypoint);
    for (size_t i = 0; i < words->len && i < 2; i++)
        if (is_several(words->at[i]))
            return true;
    return ground_knows(image);
}

bool run_ground_is_auto(const struct run_options *options)
{
    return strcmp(ground_wish(options), "auto") == 0;
}

static const struct vmm *ground_auto(const struct run_options *options, const struct image *image)
{
    struct kvm_info kvm;

    if (options->machine || ground_wants_processes(options, image) ||
        (options->accel && strcmp(options->accel, "auto") != 0))
        return &qemu_vmm;
    kvm_probe(&kvm);
    if (kvm.state == KVM_QUICK)
        return &qemu_vmm;
    if (!vmm_host_filters())
        return &qemu_vmm;
    if (!options->quiet)
        ground_tell_process(&kvm);
    return &process_vmm;
}

int run_choose_ground(const struct run_options *options, const struct image *image,
                      const struct vmm **vmm, struct err *err)
{
    const char *wish = ground_wish(options);

    if (strcmp(wish, "vm") == 0)
        *vmm = &qemu_vmm;
    else if (strcmp(wish, "process") == 0)
        *vmm = &process_vmm;
    else if (strcmp(wish, "auto") == 0)
        *vmm = ground_auto(options, image);
    else
        return err_set(err, ERR_USAGE, "--isolation: '%s' is none of vm, process and auto", wish);
    if (*vmm == &qemu_vmm && !options->quiet && !vmm_host_filters())
        ground_tell_no_filters();
    return 0;
}
