#include "sys/exec.h"

#include <stdarg.h>

#include "abi/auxv.h"
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/mman.h"
#include "abi/stat.h"
#include "arch/cpu.h"
#include "arch/features.h"
#include "arch/thread.h"
#include "core/random.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "sys/exec_priv.h"
#include "sys/sys_priv.h"
#include "vfs/busy.h"
#include "vfs/mount.h"
#include "vfs/path.h"
#include "vfs/permission.h"

enum {
    SCRIPT_LINE = 256, /* of a #! line, as Linux */
    SCRIPT_DEPTH = 5,
    STACK_INITIAL = 132 << 10,
    CLOCK_TICKS = 100,
    SIGNAL_FRAME = 1024, /* of a signal frame, without vector state */
};

#define PIE_BASE        0x555555554000ull /* two thirds of the address space, as Linux */
#define HWCAP2_FSGSBASE 2

/* Pages of randomness: of the program's place, the mmap area, the stack, the heap. */
#define RANDOM_PIE   (1ull << 28)
#define RANDOM_MMAP  (1ull << 28)
#define RANDOM_STACK (1ull << 22)
#define RANDOM_BRK   (1ull << 13)
#define MMAP_GAP_MIN MIB(128)

int exec_fail(struct exec_error *error, int err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    format_va(error->text, sizeof(error->text), fmt, ap);
    va_end(ap);
    return err;
}

static int fail_open(struct exec_error *error, const char *path, int err)
{
    switch (err) {
    case -ENOENT:
    case -ENOTDIR:
        return exec_fail(error, -ENOENT, "'%s': no such file or directory", path);
    case -EACCES:
        return exec_fail(error, err, "'%s': not executable (permission denied)", path);
    case -ELOOP:
        return exec_fail(error, err, "'%s': too many levels of symbolic links", path);
    case -EUCLEAN:
        return exec_fail(error, err, "'%s': the file system is corrupt", path);
    case -EIO:
        return exec_fail(error, err, "'%s': input/output error", path);
    default:
        return exec_fail(error, err, "'%s': cannot be opened (error %d)", path, -err);
    }
}

int exec_check(struct file *file, const char *path, struct exec_error *error)
{
    u32 mode = file->inode ? file->inode->mode : 0;

    if ((mode & S_IFMT) == S_IFDIR)
        return exec_fail(error, -EACCES, "'%s': is a directory", path);
    bool refused = file->mount && mount_has(file->mount, MOUNT_NOEXEC);
    if ((mode & S_IFMT) != S_IFREG || !(mode & 0111) || refused ||
        inode_permission(file->inode, X_OK))
        return fail_open(error, path, -EACCES);
    if (file_deny_write(file))
        return exec_fail(error, -ETXTBSY, "'%s': is open for writing", path);
    return 0;
}

int exec_open(const char *path, struct file **out, struct exec_error *error)
{
    struct file *file;
    int err = vfs_open(path, O_RDONLY, 0, &file);

    if (err)
        return fail_open(error, path, err);
    err = exec_check(file, path, error);
    if (err)
        file_put(file);
    else
        *out = file;
    return err;
}

/* ---- #! scripts ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Cut a first line into interpreter and argument; NULL: it is no script, or its name is missing. */
static char *parse_script(char *line, size_t len, char **argument)
{
    if (len < 2 || line[0] != '#' || line[1] != '!')
        return NULL;
    char *end = memchr(line, '\n', len);
    bool cut = !end && len == SCRIPT_LINE;
    if (!end)
        end = line + len - cut;
    *end = 0;
    while (end > line && is_blank(end[-1]))
        *--end = 0;
    char *name = line + 2;
    while (is_blank(*name))
        name++;
    if (!*name)
        return NULL;
    char *p = name;
    while (*p && !is_blank(*p))
        p++;
    if (cut && !*p) /* who knows how the name goes on */
        return NULL;
    while (is_blank(*p))
        *p++ = 0;
    *argument = *p ? p : NULL;
    return name;
}

/* The state of a load that scripts change: whose file, with which arguments. */
struct load {
    struct file *file;     /* owns */
    const char *path;      /* of .file */
    struct exec_args args; /* .argv is ours once a script was seen */
    bool own_argv;
    char *lines[SCRIPT_DEPTH]; /* owns: the names that args and path point into */
    u32 nr_lines;
};

static void load_fini(struct load *load)
{
    if (load->file)
        file_put(load->file);
    if (load->own_argv)
        kfree(load->args.argv);
    while (load->nr_lines)
        kfree(load->lines[--load->nr_lines]);
}

/* argv of the interpreter: its name, its argument, the script's path, the script's arguments. */
static int script_argv(struct load *load, char *name, char *argument)
{
    u32 extra = argument ? 2 : 1;
    u32 rest = load->args.argc ? load->args.argc - 1 : 0;
    char **argv = kcalloc(extra + 1 + rest, sizeof(char *));
    if (!argv)
        return -ENOMEM;

    argv[0] = name;
    if (argument)
        argv[1] = argument;
    argv[extra] = (char *)(uintptr_t)load->path;
    if (rest)
        memcpy(argv + extra + 1, load->args.argv + 1, rest * sizeof(char *));
    if (load->own_argv)
        kfree(load->args.argv);
    load->args.argv = argv;
    load->args.argc = extra + 1 + rest;
    load->own_argv = true;
    return 0;
}

/* If the open file is a script, go on with its interpreter: 1.  0: it is none.  Or an error. */
static int follow_script(struct load *load, struct exec_error *error)
{
    char *line = kzalloc(SCRIPT_LINE + 1), *argument;
    if (!line)
        return exec_fail(error, -ENOMEM, "out of memory: cannot load '%s'", load->path);

    ssize_t n = file_read_kernel(load->file, line, SCRIPT_LINE, 0);
    char *name = n > 0 ? parse_script(line, (size_t)n, &argument) : NULL;
    if (!name) {
        kfree(line);
        return 0;
    }
    if (load->nr_lines == SCRIPT_DEPTH || (load->args.path_closes && !load->nr_lines)) {
        kfree(line);
        return load->nr_lines
                   ? exec_fail(error, -ELOOP, "'%s': too many levels of scripts", load->path)
                   : exec_fail(error, -ENOENT, "'%s' is closed before its interpreter reads it",
                               load->path);
    }
    load->lines[load->nr_lines++] = line;
    struct file *interpreter;
    struct exec_error inner;
    int err = exec_open(name, &interpreter, &inner);
    if (err)
        return exec_fail(error, err, "interpreter of script '%s': %s", load->path, inner.text);
    file_put(load->file);
    load->file = interpreter;
    err = script_argv(load, name, argument);
    if (err)
        return exec_fail(error, err, "out of memory: cannot load '%s'", load->path);
    load->path = name;
    return 1;
}

static int go_through_scripts(struct load *load, struct exec_error *error)
{
    int err;

    do
        err = follow_script(load, error);
    while (err == 1);
    return err;
}

/* ---- address space ---- */

static u64 random_pages(const struct process *process, u64 pages)
{
    enum { ADDR_NO_RANDOMIZE = 0x0040000 };

    return process->personality & ADDR_NO_RANDOMIZE ? 0 : random_below(pages) << PAGE_SHIFT;
}

struct layout {
    u64 stack_top, mmap_top;
};

/* Where things go: stack at the top, mmap below what the stack may become. */
static int lay_out(struct process *process, struct mm *mm, struct layout *out)
{
    u64 limit = process->rlimits[RLIMIT_STACK].cur;
    u64 gap = max(MMAP_GAP_MIN, min(limit, USER_TOP / 6 * 5)) + (RANDOM_STACK << PAGE_SHIFT);
    u64 at;

    out->stack_top = USER_TOP - random_pages(process, RANDOM_STACK);
    out->mmap_top = USER_TOP - gap - random_pages(process, RANDOM_MMAP);
    mm_set_stack_limit(mm, limit);
    mm_set_layout(mm, 0, out->mmap_top);
    return mm_map(mm, out->stack_top - STACK_INITIAL, STACK_INITIAL, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_STACK | MAP_FIXED, NULL, 0,
                  "[stack]", &at);
}

/* The dynamic linker that the program names. */
static int load_interpreter(struct mm *mm, struct load *load, const struct elf_image *image,
                            struct elf_image *scratch, struct elf_loaded *out,
                            struct exec_error *error)
{
    struct exec_error inner;
    struct file *file;
    char *name = kzalloc(image->interp_len + 1);
    if (!name)
        return exec_fail(error, -ENOMEM, "out of memory: cannot load '%s'", load->path);

    ssize_t n = file_read_kernel(load->file, name, image->interp_len, (s64)image->interp_offset);
    int err = n == (ssize_t)image->interp_len ? exec_open(name, &file, &inner) : -EIO;
    if (err == -EIO)
        err = exec_fail(&inner, -EIO, "its name cannot be read");
    if (!err) {
        err = elf_read(file, name, scratch, &inner);
        if (!err && scratch->interp_len)
            err = exec_fail(&inner, -ENOEXEC, "'%s': exec format error: it names another", name);
        if (!err) {
            err = elf_map(mm, file, scratch, 0, out);
            if (err)
                exec_fail(&inner, err, "'%s': cannot be mapped (error %d)", name, -err);
        }
        file_allow_write(file); /* only while it is loaded, as on Linux */
        file_put(file);
    }
    kfree(name);
    return err ? exec_fail(error, err, "interpreter of '%s': %s", load->path, inner.text) : 0;
}

struct placed {
    struct elf_loaded program, interpreter;
    bool dynamic;
};

static int place_image(struct process *process, struct mm *mm, struct load *load,
                       struct elf_image *image, struct placed *out, struct exec_error *error)
{
    int err = elf_read(load->file, load->path, image, error);
    if (err)
        return err;
    err =
        elf_map(mm, load->file, image, PIE_BASE + random_pages(process, RANDOM_PIE), &out->program);
    if (err)
        return exec_fail(error, err,
                         err == -ENOMEM || err == -EFAULT
                             ? "out of memory: cannot map '%s'"
                             : "'%s': exec format error: cannot be mapped as it asks",
                         load->path);
    out->dynamic = image->interp_len != 0;
    if (!out->dynamic)
        return 0;
    struct elf_image *scratch = kmalloc(sizeof(*scratch));
    if (!scratch)
        return exec_fail(error, -ENOMEM, "out of memory: cannot load '%s'", load->path);
    err = load_interpreter(mm, load, image, scratch, &out->interpreter, error);
    kfree(scratch);
    return err;
}

/* ---- first stack ---- */

/** Has the program rights that its starter lacks? */
static bool is_secure(const struct creds *c)
{
    return c->uid != c->euid || c->gid != c->egid;
}

static u32 fill_auxv(u64 *v, const struct creds *c, const struct elf_image *image,
                     const struct placed *placed, u64 vdso)
{
    u64 hwcap2 = arch_features.fsgsbase ? HWCAP2_FSGSBASE : 0;
    u64 pairs[][2] = {
        {AT_SYSINFO_EHDR, vdso},
        {AT_MINSIGSTKSZ, arch_fpstate_size() + SIGNAL_FRAME},
        {AT_HWCAP, arch_features.hwcap},
        {AT_PAGESZ, PAGE_SIZE},
        {AT_CLKTCK, CLOCK_TICKS},
        {AT_PHDR, placed->program.phdr},
        {AT_PHENT, sizeof(struct elf64_phdr)},
        {AT_PHNUM, image->nr_phdrs},
        {AT_BASE, placed->dynamic ? placed->interpreter.bias : 0},
        {AT_FLAGS, 0},
        {AT_ENTRY, placed->program.entry},
        {AT_UID, c->uid},
        {AT_EUID, c->euid},
        {AT_GID, c->gid},
        {AT_EGID, c->egid},
        {AT_SECURE, is_secure(c)},
        {AT_HWCAP2, hwcap2},
    };
    u32 skip = vdso ? 0 : 1; /* without a vDSO the entry is left out: libraries test for it */

    memcpy(v, pairs[skip], sizeof(pairs) - skip * sizeof(pairs[0]));
    return (u32)(ARRAY_LEN(pairs) - skip) * 2;
}

static char *join_args(const struct exec_args *args, size_t *len)
{
    size_t total = 0, at = 0;

    for (u32 i = 0; i < args->argc; i++)
        total += strlen(args->argv[i]) + 1;
    char *text = kmalloc(max(total, (size_t)1));
    for (u32 i = 0; text && i < args->argc; i++) {
        size_t n = strlen(args->argv[i]) + 1;
        memcpy(text + at, args->argv[i], n);
        at += n;
    }
    *len = text ? total : 0;
    return text;
}

/* What /proc shows of the program; lack of memory for it is no failure. */
static void describe(struct program *program, const struct load *load,
                     const struct exec_stack *stack)
{
    char *path = kmalloc(LINUX_PATH_MAX);

    if (path && file_path_name(load->file, path, LINUX_PATH_MAX) >= 0)
        program->exe = kstrdup(path);
    kfree(path);
    program->cmdline = join_args(&load->args, &program->cmdline_len);
    program->auxv_len = stack->nr_full * (u32)sizeof(u64);
    program->arg_start = stack->arg_start;
    program->arg_end = stack->arg_end;
    program->env_start = stack->env_start;
    program->env_end = stack->env_end;
    program->stack_start = stack->sp;
}

static int start_stack(struct process *process, struct load *load, const char *path,
                       const struct elf_image *image, const struct placed *placed, u64 stack_top,
                       u64 vdso, struct program *program, struct exec_start *start,
                       struct exec_error *error)
{
    u64 auxv[40];

    creds_after_exec(process, load->file, &start->creds);
    struct exec_stack stack = {
        .top = stack_top,
        .execfn = path,
        .auxv = auxv,
        .nr_auxv = fill_auxv(auxv, &start->creds, image, placed, vdso),
        .full_auxv = program->auxv,
    };

    int err = exec_build_stack(&load->args, &stack);
    if (err)
        return exec_fail(error, err,
                         err == -E2BIG ? "'%s': arguments and environment are too long"
                                       : "out of memory: no stack for '%s'",
                         load->path);
    describe(program, load, &stack);
    arch_frame_init(&start->frame,
                    placed->dynamic ? placed->interpreter.entry : placed->program.entry, stack.sp);
    return 0;
}

static int load_image(struct process *process, struct mm *mm, struct load *load, const char *path,
                      struct elf_image *image, struct program *program, struct exec_start *start,
                      struct exec_error *error)
{
    struct placed placed;
    struct layout layout;
    u64 vdso = 0;

    (void)mm_map_gate(mm); /* without it nothing is patched */
    int err = lay_out(process, mm, &layout);
    if (err)
        return exec_fail(error, err, "out of memory: no stack for '%s'", load->path);
    err = place_image(process, mm, load, image, &placed, error);
    if (err)
        return err;
    mm_set_layout(mm, placed.program.end + random_pages(process, RANDOM_BRK), layout.mmap_top);
    if (mm_map_vdso(mm, &vdso))
        vdso = 0; /* programs do without */
    return start_stack(process, load, path, image, &placed, layout.stack_top, vdso, program, start,
                       error);
}

int exec_load(struct process *process, struct mm *mm, struct file *file, const char *path,
              const struct exec_args *args, struct program *program, struct exec_start *start,
              struct exec_error *error)
{
    struct load load = {.file = file, .path = path, .args = *args};
    struct elf_image *image = kmalloc(sizeof(*image));

    file_get(file);
    int err = image ? go_through_scripts(&load, error)
                    : exec_fail(error, -ENOMEM, "out of memory: cannot load '%s'", path);

    if (!err)
        err = load_image(process, mm, &load, path, image, program, start, error);
    load_fini(&load);
    kfree(image);
    return err;
}
