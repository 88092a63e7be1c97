/* execve(2): another program in the place of the one that calls.  Everything that may fail is done
 * while the old one is whole: arguments are copied, the new address space is filled beside the old.
 * Then the other threads end, and the process changes over. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "arch/frame.h"
#include "arch/thread.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/futex.h"
#include "sched/posix_timer.h"
#include "sys/aio.h"
#include "sys/exec.h"
#include "sys/exec_allow.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/path.h"

enum {
    ARENA_MIN = 4096,
    ARENA_MAX = 3 << 20, /* more than exec_build_stack() takes */
    STRING_MAX = 128 << 10,
    NAME_MAX_BYTES = LINUX_PATH_MAX + 32,
};

/* ---- arguments ---- */

/* Strings of the program's, one behind the other, and where each begins. */
struct strings {
    char *arena;
    size_t used, capacity;
    u32 *starts;
    u32 count, room;
};

static void strings_fini(struct strings *s)
{
    kfree(s->arena);
    kfree(s->starts);
}

static int grow_arena(struct strings *s)
{
    size_t capacity = s->capacity ? s->capacity * 4 : ARENA_MIN;
    if (s->capacity >= ARENA_MAX)
        return -E2BIG;
    char *arena = krealloc(s->arena, min(capacity, (size_t)ARENA_MAX));
    if (!arena)
        return -ENOMEM;
    s->arena = arena;
    s->capacity = min(capacity, (size_t)ARENA_MAX);
    return 0;
}

static int add_start(struct strings *s)
{
    if (s->count == s->room) {
        u32 room = s->room ? s->room * 4 : 64;
        u32 *starts = krealloc(s->starts, room * sizeof(*starts));
        if (!starts)
            return -ENOMEM;
        s->starts = starts;
        s->room = room;
    }
    s->starts[s->count++] = (u32)s->used;
    return 0;
}

static int add_string(struct strings *s, uaddr_t from)
{
    int err = add_start(s);

    while (!err) {
        size_t room = min(s->capacity - s->used, (size_t)STRING_MAX);
        ssize_t len = room ? strncpy_from_user(s->arena + s->used, from, room) : -ENAMETOOLONG;
        if (len >= 0) {
            s->used += (size_t)len + 1;
            return 0;
        }
        if (len != -ENAMETOOLONG)
            return (int)len;
        err = room == STRING_MAX ? -E2BIG : grow_arena(s);
    }
    return err;
}

/* All strings of the list at @list, 0 being an empty one; *@count of them. */
static int add_list(struct strings *s, uaddr_t list, u32 *count)
{
    u32 before = s->count;
    int err = 0;

    for (u64 at = list; list && !err; at += sizeof(u64)) {
        u64 string;
        err = copy_from_user(&string, at, sizeof(string));
        if (!err && !string)
            break;
        if (!err)
            err = add_string(s, string);
    }
    *count = s->count - before;
    return err;
}

/* A program without arguments gets an empty name, as on Linux. */
static int add_arguments(struct strings *s, uaddr_t argv, uaddr_t envp, struct exec_args *args)
{
    static char no_name[1];
    int err = add_list(s, argv, &args->argc);

    if (!err)
        err = add_list(s, envp, &args->envc);
    if (err)
        return err;
    char **all = kcalloc((size_t)args->argc + args->envc + 1, sizeof(char *));
    if (!all)
        return -ENOMEM;
    u32 extra = args->argc ? 0 : 1;
    all[0] = no_name;
    for (u32 i = 0; i < s->count; i++)
        all[i + extra] = s->arena + s->starts[i];
    args->argc += extra;
    args->argv = all;
    args->envp = all + args->argc;
    return 0;
}

/* ---- changing over ---- */

static void reset_signals(struct process *p)
{
    spin_lock(&p->siglock);
    sigset64_t ignored = 0;
    for (sigset64_t left = p->acted; left; left &= left - 1)
        if (p->actions[__builtin_ctzll(left)].handler == SIG_IGN)
            ignored |= left & -left;
    memset(p->actions, 0, sizeof(p->actions));
    p->acted = ignored;
    for (; ignored; ignored &= ignored - 1)
        p->actions[__builtin_ctzll(ignored)].handler = SIG_IGN;
    spin_unlock(&p->siglock);
}

/* Descriptors marked so are closed, in a table of one's own. */
static int own_files(struct process *p)
{
    if (ref_count(&p->files->refs) == 1)
        return 0;
    struct fd_table *own = fd_table_clone(p->files), *shared = p->files;
    if (!own)
        return -ENOMEM;
    spin_lock(&p->siglock);
    p->files = own;
    spin_unlock(&p->siglock);
    fd_table_put(shared);
    return 0;
}

static void use_mm(struct mm *mm)
{
    current->mm = mm;
    mm_switch(mm);
}

/* What the old program left behind in the thread. */
static void reset_thread(struct thread *t, const char *path)
{
    t->altstack = (struct sigaltstack64){.flags = SS_DISABLE};
    t->clear_child_tid = t->set_child_tid = t->robust_list = t->rseq = 0;
    t->left_locks = false;
    t->restart.fn = NULL;
    exec_name_thread(t, path);
    arch_vector_reset_current();
    arch_set_fs(0);
}

/* The point of no return is passed: the process is the new program's. */
static void change_over(struct process *p, struct mm *mm, struct program *program, const char *path,
                        const struct creds *creds)
{
    struct mm *old_mm = p->mm;
    struct program *old_program = p->program;

    use_mm(old_mm);
    aio_process_gone(p);
    futex_leave_memory(current);
    spin_lock(&p->siglock);
    p->mm = mm;
    p->program = program;
    p->creds = *creds;
    spin_unlock(&p->siglock);
    use_mm(mm);
    reset_signals(p);
    posix_timers_drop(p, false);
    reset_thread(current, path);
    p->keepcaps = false;
    p->dumpable = true;
    p->executed = true;
    process_release_parent(p);
    fd_close_on_exec(p->files);
    mm_put(old_mm);
    if (old_program)
        program_put(old_program);
}

static __attribute__((noinline)) int run(struct file *file, const char *path,
                                         const struct exec_args *args)
{
    struct process *p = current_process();
    struct mm *mm = mm_create(), *old = current->mm;
    struct program *program = program_create();
    struct exec_error error;
    struct exec_start start;
    int err = -ENOMEM;

    if (mm && program) {
        mm_set_wx_policy(mm, mm_wx_policy(old));
        use_mm(mm);
        err = exec_load(p, mm, file, path, args, program, &start, &error);
        use_mm(old);
    }
    if (!err)
        err = process_become_single();
    if (!err)
        err = own_files(p);
    if (!err) {
        change_over(p, mm, program, path, &start.creds);
        *current_frame() = start.frame;
        return 0;
    }
    if (program)
        program_put(program);
    if (mm)
        mm_put(mm);
    return err;
}

static __attribute__((noinline)) long execute(struct file *file, const char *path, bool path_closes,
                                              uaddr_t argv, uaddr_t envp)
{
    struct strings strings = {0};
    struct exec_args args = {.path_closes = path_closes};
    struct exec_error error;
    int err = exec_check(file, path, &error);

    if (!err && !exec_allowed(file, path))
        err = -EACCES;
    if (!err)
        err = add_arguments(&strings, argv, envp, &args);
    if (!err)
        err = run(file, path, &args);
    kfree(args.argv);
    strings_fini(&strings);
    return err;
}

/* ---- the calls ---- */

/* The file, and its name as the program shall find it. @fd: AT_EMPTY_PATH. */
static int open_at(int dirfd, const struct name_buf *name, int flags, struct file **out)
{
    u32 follow = flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
    struct path path;

    if (name->len || !(flags & AT_EMPTY_PATH))
        return vfs_openat(dirfd, name, O_RDONLY | follow, 0, 0, out);
    struct file *file = fd_get_raw(dirfd);
    if (!file)
        return -EBADF;
    int err = -EACCES; /* a file without a name was never in the image */
    if (file->dentry) {
        path = (struct path){.mount = file->mount, .dentry = file->dentry};
        err = vfs_open_path(&path, O_RDONLY, out);
    }
    file_put(file);
    return err;
}

static const char *shown_name(int dirfd, const struct name_buf *name, char *buf)
{
    if (dirfd == AT_FDCWD || *name->text == '/')
        return name->text;
    format(buf, NAME_MAX_BYTES, name->len ? "/dev/fd/%d/%s" : "/dev/fd/%d", dirfd, name->text);
    return buf;
}

long sys_execveat(int dirfd, uaddr_t upath, uaddr_t argv, uaddr_t envp, int flags)
{
    struct name_buf name;
    struct file *file;

    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    long err = name_from_user(&name, upath);
    if (err)
        return err;
    if (!processes_allowed("execve")) {
        name_free(&name);
        return -ENOSYS;
    }
    char *buf = kmalloc(NAME_MAX_BYTES);
    err = buf ? open_at(dirfd, &name, flags, &file) : -ENOMEM;
    if (!err) {
        bool by_fd = dirfd != AT_FDCWD && *name.text != '/';
        bool closes = by_fd && fd_get_flags(dirfd) == FD_CLOEXEC;
        err = execute(file, shown_name(dirfd, &name, buf), closes, argv, envp);
        file_put(file);
    }
    kfree(buf);
    name_free(&name);
    if (!err)
        arch_enter_program(current_frame());
    return err;
}

long sys_execve(uaddr_t path, uaddr_t argv, uaddr_t envp)
{
    return sys_execveat(AT_FDCWD, path, argv, envp, 0);
}
