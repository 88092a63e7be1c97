/* Which ground a guest runs on: a VM, isolated by hardware, where KVM is usable and quick or
 * something only a VM has was asked for; else a sandboxed process. */
#include "cli/run_priv.h"

#include "image/config.h"
#include "image/image.h"
#include "lib/err.h"
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
static void ground_tell(const struct kvm_info *kvm)
{
    char said[8];

    if (boot_cache_get("isolation-told", said, sizeof(said)))
        return;
    boot_cache_put("isolation-told", "1");
    fprintf(stderr,
            "ingot: no quick KVM here (%s), so programs run in a sandboxed process; "
            "--isolation vm gives them an emulated VM (said once)\n",
            kvm->why);
}

/* Programs that are good for nothing without others: kernel/sys/exec_allow.c has more, those which
 * also do something by themselves. */
static bool is_launcher(const char *path)
{
    static const char names[][16] = {
        "sh",   "bash",    "dash",    "ash",         "zsh",       "ksh",
        "mksh", "fish",    "tini",    "dumb-init",   "catatonit", "gosu",
        "env",  "su-exec", "setpriv", "docker-init", "s6-svscan", "runsvdir",
    };
    const char *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;

    for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Only a VM has several processes: who names programs to start wants them, and who starts a shell
 * or a launcher. */
static bool ground_wants_processes(const struct run_options *options, const struct image *image)
{
    const struct image_config *config = &image->config;
    const char *program = options->entrypoint      ? options->entrypoint
                          : config->entrypoint.len ? config->entrypoint.at[0]
                          : config->cmd.len        ? config->cmd.at[0]
                                                   : NULL;

    if (options->single)
        return false;
    return options->exec.len || config_getenv(&config->labels, "org.ingot.exec") ||
           is_launcher(program);
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
    if (!options->quiet)
        ground_tell(&kvm);
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
    return 0;
}
