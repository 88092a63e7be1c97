/* /proc/PID/fd and /proc/PID/fdinfo. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/proc.h"
#include "lib/format.h"
#include "sched/thread.h"
#include "vfs/anon/anon_inode.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/mount.h"
#include "vfs/path.h"

/* A search in a descriptor table: the first one from .from on. */
struct fd_search {
    int from, found;
    bool take;         /* with a reference to the file */
    struct file *file; /* out */
};

static int visit(int fd, struct file *file, void *arg)
{
    struct fd_search *search = arg;

    if (fd < search->from)
        return 0;
    search->found = fd;
    if (search->take) {
        file_get(file);
        search->file = file;
    }
    return 1;
}

static bool search_table(int pid, struct fd_search *search)
{
    struct process *process = process_find(pid);

    struct fd_table *table = process ? fd_table_of(process) : NULL;

    search->found = -1;
    if (table) {
        fd_for_each(table, visit, search);
        fd_table_put(table);
    }
    if (process)
        process_put(process);
    return search->found >= 0;
}

/* The open file of a link, with a reference, or NULL. */
static struct file *file_of(const struct pseudo_ref *ref)
{
    struct fd_search search = {.from = ref->number, .take = true};

    if (!search_table(ref->pid, &search))
        return NULL;
    if (search.found == ref->number)
        return search.file;
    file_put(search.file);
    return NULL;
}

static ssize_t read_fd(const struct pseudo_ref *ref, char *buf, size_t size)
{
    struct file *file = file_of(ref);

    if (!file)
        return -ENOENT;
    ssize_t len = file_path_name(file, buf, size);
    file_put(file);
    return len;
}

static int follow_fd(const struct pseudo_ref *ref, struct path *out)
{
    struct file *file = file_of(ref);
    int err = 0;

    if (!file)
        return -ENOENT;
    if (file->dentry) {
        *out = (struct path){.mount = file->mount, .dentry = file->dentry};
        path_get(out);
    } else {
        err = anon_inode_path(file, out);
    }
    file_put(file);
    return err;
}

/* The link's permissions tell how the file is open. */
static void fill_fd(const struct pseudo_ref *ref, struct inode *inode)
{
    struct file *file = file_of(ref);

    if (!file)
        return;
    u32 mode = S_IFLNK | 0100;
    mode |= file->mode & FILE_READ ? 0400 : 0;
    mode |= file->mode & FILE_WRITE ? 0200 : 0;
    inode->mode = mode;
    file_put(file);
}

static int show_fdinfo(struct text *out, const struct pseudo_ref *ref)
{
    struct file *file = file_of(ref);
    char more[512];

    if (!file)
        return -ENOENT;
    u32 flags = file->flags;
    if (ref->pid == current_process()->pid && fd_get_flags(ref->number) > 0)
        flags |= O_CLOEXEC;
    text_add(out, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t%u\nino:\t%lu\n",
             file->mode & FILE_SEEK ? (long)file->pos : 0, flags, file->mount ? file->mount->id : 0,
             file->inode ? (unsigned long)file->inode->ino : 0);
    if (file->ops && file->ops->fdinfo)
        text_add_bytes(out, more, min(file->ops->fdinfo(file, more, sizeof(more)), sizeof(more)));
    file_put(file);
    return 0;
}

static const struct pseudo_node fd_link = {
    .name = "",
    .mode = S_IFLNK | 0777,
    .readlink = read_fd,
    .follow = follow_fd,
    .fill = fill_fd,
};
static const struct pseudo_node fdinfo_file = PSEUDO_FILE("", show_fdinfo);

static int find(const struct pseudo_ref *dir, const char *name, size_t len,
                const struct pseudo_node *node, struct pseudo_ref *child)
{
    struct fd_search search = {.from = proc_number(name, len)};

    if (search.from < 0 || !search_table(dir->pid, &search) || search.found != search.from)
        return -ENOENT;
    child->node = node;
    child->number = search.found;
    return 0;
}

static bool next(const struct pseudo_ref *dir, int after, const struct pseudo_node *node,
                 struct pseudo_ref *child, char name[32])
{
    struct fd_search search = {.from = after + 1};

    if (!search_table(dir->pid, &search))
        return false;
    child->node = node;
    child->number = search.found;
    format(name, 32, "%d", search.found);
    return true;
}

int proc_find_fd(const struct pseudo_ref *dir, const char *name, size_t len,
                 struct pseudo_ref *child)
{
    return find(dir, name, len, &fd_link, child);
}

bool proc_next_fd(const struct pseudo_ref *dir, int after, struct pseudo_ref *child, char name[32])
{
    return next(dir, after, &fd_link, child, name);
}

int proc_find_fdinfo(const struct pseudo_ref *dir, const char *name, size_t len,
                     struct pseudo_ref *child)
{
    return find(dir, name, len, &fdinfo_file, child);
}

bool proc_next_fdinfo(const struct pseudo_ref *dir, int after, struct pseudo_ref *child,
                      char name[32])
{
    return next(dir, after, &fdinfo_file, child, name);
}
