/* One pass over /proc, then the tree from parent to child. */
#include "instance/tree.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A process of the machine: what its stat says. */
struct seen {
    pid_t pid, parent;
    u64 cpu_ticks;
    char name[32], state;
};

static bool read_proc(pid_t pid, const char *file, struct buf *text)
{
    char *path CLEANUP(mem_free) = str_printf("/proc/%d/%s", (int)pid, file);

    return fs_read(path, MIB(1), text, NULL) == 0 && text->len;
}

/* proc(5): pid (name) state ppid ...; the name may hold anything. */
static bool read_stat(pid_t pid, struct seen *seen)
{
    struct buf text CLEANUP(buf_free) = {0};

    if (!read_proc(pid, "stat", &text))
        return false;
    char *open = strchr(text.data, '('), *close = strrchr(text.data, ')');
    unsigned long long user, system;
    int parent;
    char state;
    if (!open || !close || close < open)
        return false;
    if (sscanf(close + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &state, &parent,
               &user, &system) != 4)
        return false;
    *seen = (struct seen){.pid = pid, .parent = parent, .cpu_ticks = user + system, .state = state};
    snprintf(seen->name, sizeof(seen->name), "%.*s", (int)(close - open - 1), open + 1);
    return true;
}

static size_t read_all(struct seen **all)
{
    size_t len = 0, cap = 0;
    DIR *dir = opendir("/proc");

    *all = NULL;
    if (!dir)
        return 0;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        u64 pid;
        if (str_to_u64(entry->d_name, &pid) || pid > INT_MAX)
            continue;
        if (len == cap) {
            cap = cap ? cap * 2 : 256;
            *all = mem_resize(*all, cap, sizeof(**all));
        }
        len += read_stat((pid_t)pid, &(*all)[len]);
    }
    closedir(dir);
    return len;
}

static void add(struct tree *tree, const struct seen *seen)
{
    struct tree_process *process;

    tree->at = mem_resize(tree->at, tree->len + 1, sizeof(*tree->at));
    process = &tree->at[tree->len++];
    *process =
        (struct tree_process){.pid = seen->pid, .cpu_ticks = seen->cpu_ticks, .state = seen->state};
    struct buf words CLEANUP(buf_free) = {0};
    const char *name = read_proc(seen->pid, "cmdline", &words) ? fs_name(words.data) : seen->name;
    str_copy(process->name, name, sizeof(process->name));
}

void tree_read(pid_t root, struct tree *tree)
{
    struct seen *all;
    size_t count = read_all(&all);

    *tree = (struct tree){0};
    for (size_t i = 0; i < count; i++)
        if (all[i].pid == root)
            add(tree, &all[i]);
    for (size_t at = 0; at < tree->len; at++)
        for (size_t i = 0; i < count; i++)
            if (all[i].parent == tree->at[at].pid)
                add(tree, &all[i]);
    free(all);
}

void tree_fini(struct tree *tree)
{
    free(tree->at);
    *tree = (struct tree){0};
}

static u64 number_after(const struct buf *text, const char *key)
{
    const char *at = text->len ? strstr(text->data, key) : NULL;

    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

void tree_measure(struct tree *tree)
{
    for (size_t i = 0; i < tree->len; i++) {
        struct tree_process *process = &tree->at[i];
        struct buf maps CLEANUP(buf_free) = {0}, io CLEANUP(buf_free) = {0};
        if (read_proc(process->pid, "smaps_rollup", &maps)) {
            process->rss_bytes = number_after(&maps, "\nRss:") * 1024;
            process->pss_bytes = number_after(&maps, "\nPss:") * 1024;
        }
        if (read_proc(process->pid, "io", &io)) {
            process->read_bytes = number_after(&io, "\nread_bytes:");
            process->written_bytes = number_after(&io, "\nwrite_bytes:");
        }
    }
}
