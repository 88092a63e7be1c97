/* The last step of a start: find out what to run, load it, and let it go. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "arch/frame.h"
#include "core/chart.h"
#include "core/cmdline.h"
#include "core/hostname.h"
#include "core/init.h"
#include "core/log.h"
#include "core/panic.h"
#include "drv/console.h"
#include "drv/tty.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "sys/config.h"
#include "sys/dispatch.h"
#include "sys/exec_allow.h"
#include "sys/instance.h"
#include "sys/socket_file.h"
#include "sys/sys_priv.h"
#include "sys/user.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/path.h"

enum { CONFIG_MAX = (4 << 20) - 1 }; /* with its NUL the largest block there is */
static const char config_path[] = "/.ingot/config.json";

/* ---- configuration ---- */

/* The text of the image config, which the caller frees; NULL: there is none. */
static char *read_config(size_t *len)
{
    struct file *file;
    int err = vfs_open(config_path, O_RDONLY, 0, &file);

    if (err == -ENOENT || err == -ENOTDIR)
        return NULL;
    if (err)
        fatal_error("%s: cannot be opened (error %d)", config_path, -err);
    u64 size = file->inode->size;
    if (size > CONFIG_MAX)
        fatal_error("%s: 4 MiB or larger", config_path);
    char *text = kmalloc(size + 1);
    if (!text)
        fatal_error("out of memory: cannot read %s", config_path);
    ssize_t n = file_read_kernel(file, text, size, 0);
    if (n != (ssize_t)size)
        fatal_error("%s: cannot be read", config_path);
    file_put(file);
    *len = size;
    return text;
}

static void set_hostname(void)
{
    const char *name = cmdline_get("ingot.hostname");

    if (name && *name)
        str_copy(hostname, name, sizeof(hostname));
}

static void load_config(struct program_config *config, bool terminal)
{
    size_t len = 0, where;
    char *json = read_config(&len);
    int err = config_load(config, json, len, terminal, &where);

    kfree(json);
    if (err == -ENOMEM)
        fatal_error("out of memory: cannot read %s", config_path);
    if (err == -E2BIG)
        fatal_error("%s: too many values", config_path);
    if (err)
        fatal_error("%s: malformed near byte %zu", config_path, where);
    if (!config->argv.count)
        fatal_error("no program to start: the image names none and the command line has no init=");
}

static void set_stop_signal(const char *name)
{
    if (!name)
        return;
    int sig = signal_number(name);
    if (sig)
        signal_set_stop_signal(sig);
    else
        log_warn("'%s' is no signal: the StopSignal stays SIGTERM", name);
}

static bool stdio_is_terminal(void)
{
    struct file *file = fd_get(0);
    bool terminal = file && file->ops == &tty_file_ops;

    if (file)
        file_put(file);
    return terminal;
}

/* @path with the folders above it.  Errors show when it is entered. */
static void make_directories(const char *path)
{
    char *part = kstrdup(path);

    if (!part)
        return;
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)vfs_mkdir(part, 0755);
        *slash = '/';
    }
    (void)vfs_mkdir(part, 0755);
    kfree(part);
}

/* As Docker does, the working directory is made if it is missing. */
static void enter_directory(struct fs_context *fs, const char *path)
{
    struct path place;

    if (!strcmp(path, "/")) /* where it begins */
        return;
    int err = path_lookup_kernel(path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &place);

    if (err == -ENOENT) {
        make_directories(path);
        err = path_lookup_kernel(path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &place);
    }
    if (err)
        fatal_error("working directory '%s': %s", path,
                    err == -ENOENT ? "no such file or directory" : "cannot be entered");
    fs_set_cwd(fs, &place);
    path_put(&place);
}

/* ---- the program's file ---- */

static bool is_program(const char *path)
{
    struct path place;

    if (path_lookup_kernel(path, LOOKUP_FOLLOW | LOOKUP_QUIET, &place))
        return false;
    const struct inode *inode = place.dentry->inode;
    bool good = inode && (inode->mode & S_IFMT) == S_IFREG && (inode->mode & 0111);
    path_put(&place);
    return good;
}

/* A name without a slash is looked for in PATH.  The result is the caller's to free. */
static char *find_program(const struct program_config *config)
{
    const char *name = config->argv.items[0], *dirs = config_env(config, "PATH");

    if (strchr(name, '/') || !dirs)
        return kstrdup(name);
    char *path = kmalloc(LINUX_PATH_MAX);
    while (path && *dirs) {
        size_t len = (size_t)(strchr(dirs, ':') ? strchr(dirs, ':') - dirs : (s64)strlen(dirs));
        int n = format(path, LINUX_PATH_MAX, "%.*s%s%s", (int)len, dirs, len ? "/" : "", name);
        if (n < LINUX_PATH_MAX && is_program(path))
            return path;
        dirs += len + (dirs[len] == ':');
    }
    if (path)
        fatal_error("'%s': not found in PATH (%s)", name, config_env(config, "PATH"));
    return NULL;
}

/* ---- the first process ---- */

static struct process *create_process(void)
{
    struct process *process = process_create();
    if (!process)
        return NULL;
    process->mm = mm_create();
    process->files = fd_table_create();
    process->fs = fs_context_clone(&init_fs_context);
    process->program = program_create();
    return process->mm && process->files && process->fs && process->program ? process : NULL;
}

static struct thread *load_program(struct process *process, const struct program_config *config)
{
    struct exec_args args = {.argv = config->argv.items,
                             .envp = config->env.items,
                             .argc = config->argv.count,
                             .envc = config->env.count};
    struct exec_start start;
    struct exec_error error;
    struct thread *thread;
    struct file *file;
    char *path = find_program(config);

    if (!path)
        fatal_error("out of memory: cannot load '%s'", config->argv.items[0]);
    mm_set_wx_policy(process->mm, config->wx_strict);
    if (exec_open(path, &file, &error) ||
        exec_load(process, process->mm, file, path, &args, process->program, &start, &error))
        fatal_error("%s", error.text);
    exec_allow_own(file, process->program);
    file_put(file);
    if (thread_create(process, &start.frame, &thread))
        fatal_error("out of memory: no thread for '%s'", path);
    exec_name_thread(thread, path);
    log_debug("start: %s", path);
    kfree(path);
    return thread;
}

static void free_list(struct string_list *list)
{
    for (u32 i = 0; i < list->count; i++)
        kfree(list->items[i]);
    kfree(list->items);
}

/* Whoever wants more than a log gets it from here on. */
static void tell_of_start(void)
{
    chart_mark("program runs");
    chart_tell();
    profile_start();
}

_Noreturn void start_program(void)
{
    struct program_config config;
    struct process *process = create_process();

    if (!process)
        fatal_error("out of memory: no room for the first process");
    set_hostname();
    socket_calls_init();
    if (cmdline_get_u64("ingot.trace", 0))
        trace_enable(true);

    /* From here the boot thread stands in for the program, whose memory and files it fills. */
    current->process = process;
    current->mm = process->mm;
    mm_switch(process->mm);
    if (stdio_open())
        fatal_error("standard streams: cannot be opened");
    load_config(&config, stdio_is_terminal());
    instance_configure(&config);
    if (config.seal || cmdline_get_u64("ingot.seal", 0))
        seal_calls();
    exec_allow_init(config.exec, cmdline_get("ingot.exec"));
    processes_init();
    set_stop_signal(config.stop_signal);
    enter_directory(process->fs, config.cwd);
    if (config.user)
        user_become(process, &config);
    struct thread *thread = load_program(process, &config);
    if (unlikely(chart_wanted))
        tell_of_start();

    free_list(&config.argv);
    free_list(&config.env);
    kfree(config.cwd);
    kfree(config.stop_signal);
    kfree(config.exec);
    kfree(config.user);
    kfree(config.instance);
    current->mm = NULL;
    mm_switch(NULL);
    current->process = NULL;
    thread_exit_to(thread);
}
