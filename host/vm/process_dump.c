/* The memory of a sandbox whose kernel has panicked, as a core file: it stands still, and we are
 * its parent, who may read it (ptrace(2), proc(5)).  Both kernel and program are in it.
 * Left out are pages that were never touched, and files as they are on disk. */
#include "vm/process_priv.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_AREAS = 60000,
    MAX_THREADS = 128,
    MAPS_MAX = 16 << 20,
    PAGE = 4096,
    SLICE = 512,        /* pages looked at in one step */
    FILE_MAX = 4 << 20, /* a larger one that only can be read is a layer */
};

struct area {
    u64 start, end;
    u32 flags; /* PF_* */
};

struct dump {
    pid_t pid;
    int fd, memory, pages; /* the core file; /proc/PID/mem and pagemap */
    struct area *areas;
    size_t nr_areas;
    struct buf notes;
};

static void dump_fini(struct dump *dump)
{
    fd_close(&dump->memory);
    fd_close(&dump->pages);
    free(dump->areas);
    buf_free(&dump->notes);
}

static int open_of(const struct dump *dump, const char *name)
{
    char *path CLEANUP(mem_free) = str_printf("/proc/%d/%s", (int)dump->pid, name);

    return open(path, O_RDONLY | O_CLOEXEC);
}

/* "START-END rwxp OFFSET DEVICE INODE PATH": layers are of no interest, and the host's own neither.
 */
static void take_area(struct dump *dump, const char *line)
{
    unsigned long long start, end;
    char mode[5] = "";
    int path = 0;

    if (sscanf(line, "%llx-%llx %4s %*s %*s %*s %n", &start, &end, mode, &path) < 3 ||
        mode[0] != 'r' || dump->nr_areas == MAX_AREAS || strstr(line + path, "[v") ||
        (line[path] == '/' && mode[1] != 'w' && end - start > FILE_MAX))
        return;
    dump->areas[dump->nr_areas++] = (struct area){
        start, end, PF_R | (mode[1] == 'w' ? PF_W : 0u) | (mode[2] == 'x' ? PF_X : 0u)};
}

static int read_areas(struct dump *dump, struct err *err)
{
    char *path CLEANUP(mem_free) = str_printf("/proc/%d/maps", (int)dump->pid);
    struct buf text CLEANUP(buf_free) = {0};
    int failed = fs_read(path, MAPS_MAX, &text, err);

    if (failed)
        return failed;
    dump->areas = mem_new(MAX_AREAS * sizeof(*dump->areas));
    for (char *line = (char *)(uintptr_t)buf_text(&text), *end; (end = strchr(line, '\n'));
         line = end + 1) {
        *end = 0;
        take_area(dump, line);
    }
    return 0;
}

static void add_note(struct dump *dump, u32 type, const void *bytes, size_t len)
{
    const Elf64_Nhdr head = {.n_namesz = 5, .n_descsz = (Elf64_Word)len, .n_type = type};

    buf_add(&dump->notes, &head, sizeof(head));
    buf_add(&dump->notes, "CORE\0\0\0", 8);
    buf_add(&dump->notes, bytes, len);
    buf_add(&dump->notes, "\0\0\0", -len % 4);
}

/* Its registers, from the stop that ptrace makes; it is let go when we are done. */
static void add_thread(struct dump *dump, pid_t tid)
{
    prstatus_t status = {.pr_pid = tid, .pr_cursig = tid == dump->pid ? SIGABRT : 0};
    struct user_regs_struct registers;
    struct user_fpregs_struct vector;
    struct iovec iov = {&registers, sizeof(registers)}, fp = {&vector, sizeof(vector)};
    int stopped;

    if (ptrace(PTRACE_SEIZE, tid, 0, 0) < 0)
        return;
    if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0 && waitpid(tid, &stopped, __WALL) == tid &&
        WIFSTOPPED(stopped) && ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov) == 0) {
        static_assert(sizeof(registers) == sizeof(status.pr_reg), "the same in another type");
        memcpy(&status.pr_reg, &registers, sizeof(registers));
        add_note(dump, NT_PRSTATUS, &status, sizeof(status));
        if (ptrace(PTRACE_GETREGSET, tid, NT_FPREGSET, &fp) == 0)
            add_note(dump, NT_FPREGSET, &vector, sizeof(vector));
    }
    (void)ptrace(PTRACE_DETACH, tid, 0, 0); /* it is killed soon */
}

static int add_threads(struct dump *dump, struct err *err)
{
    char *path CLEANUP(mem_free) = str_printf("/proc/%d/task", (int)dump->pid);
    struct strs tids CLEANUP(strs_free) = {0};
    int failed = fs_list(path, &tids, err);

    for (size_t i = 0; !failed && i < min(tids.len, (size_t)MAX_THREADS); i++)
        add_thread(dump, atoi(tids.at[i]));
    if (!failed && !dump->notes.len)
        return err_set(err, EPERM, "this machine lets nobody look into it (ptrace)");
    return failed;
}

static bool put(const struct dump *dump, const void *bytes, size_t len, u64 at)
{
    return pwrite(dump->fd, bytes, len, (off_t)at) == (ssize_t)len;
}

static int put_headers(const struct dump *dump, u64 data_at, struct err *err)
{
    Elf64_Ehdr head = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(head),
        .e_ehsize = sizeof(head),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)(dump->nr_areas + 1),
    };
    struct buf out CLEANUP(buf_free) = {0};
    Elf64_Phdr notes = {.p_type = PT_NOTE,
                        .p_offset = sizeof(head) + (dump->nr_areas + 1) * sizeof(Elf64_Phdr),
                        .p_filesz = dump->notes.len};

    buf_add(&out, &head, sizeof(head));
    buf_add(&out, &notes, sizeof(notes));
    for (size_t i = 0; i < dump->nr_areas; i++) {
        const struct area *a = &dump->areas[i];
        const Elf64_Phdr load = {.p_type = PT_LOAD,
                                 .p_flags = a->flags,
                                 .p_offset = data_at,
                                 .p_vaddr = a->start,
                                 .p_filesz = a->end - a->start,
                                 .p_memsz = a->end - a->start,
                                 .p_align = PAGE};
        buf_add(&out, &load, sizeof(load));
        data_at += load.p_filesz;
    }
    buf_add(&out, dump->notes.data, dump->notes.len);
    return put(dump, out.data, out.len, 0) ? 0 : err_errno(err, errno, "core file");
}

/* proc(5), pagemap: bit 63 says that the page is in memory, bit 62 that it is in swap. */
static int put_area(const struct dump *dump, const struct area *area, u64 data_at, u64 *room,
                    struct err *err)
{
    u64 entries[SLICE];
    char page[PAGE];

    for (u64 at = area->start; at < area->end; at += SLICE * PAGE) {
        size_t n = (size_t)min((area->end - at) / PAGE, (u64)SLICE);
        ssize_t got = pread(dump->pages, entries, n * 8, (off_t)(at / PAGE * 8));
        for (size_t i = 0; i < (size_t)max(got, (ssize_t)0) / 8; i++) {
            u64 va = at + i * PAGE;
            if (!(entries[i] >> 62) || pread(dump->memory, page, PAGE, (off_t)va) != PAGE)
                continue;
            if (*room < PAGE)
                return err_set(err, EFBIG, "it is larger than 1 GiB");
            *room -= PAGE;
            if (!put(dump, page, PAGE, data_at + va - area->start))
                return err_errno(err, errno, "core file");
        }
    }
    return 0;
}

int process_dump(struct vm *vm, int fd, u64 room, struct err *err)
{
    struct dump dump CLEANUP(dump_fini) = {.pid = vm->pid, .fd = fd, .memory = -1, .pages = -1};
    int failed = read_areas(&dump, err);

    if (!failed)
        failed = add_threads(&dump, err);
    if (failed)
        return failed;
    dump.memory = open_of(&dump, "mem");
    dump.pages = open_of(&dump, "pagemap");
    if (dump.memory < 0 || dump.pages < 0)
        return err_errno(err, errno, "its memory");
    u64 at = ALIGN_UP(
        sizeof(Elf64_Ehdr) + (dump.nr_areas + 1) * sizeof(Elf64_Phdr) + dump.notes.len, (u64)PAGE);
    failed = put_headers(&dump, at, err);
    for (size_t i = 0; !failed && i < dump.nr_areas; i++) {
        failed = put_area(&dump, &dump.areas[i], at, &room, err);
        at += dump.areas[i].end - dump.areas[i].start;
    }
    if (!failed && ftruncate(fd, (off_t)at) < 0)
        return err_errno(err, errno, "core file");
    return failed;
}
