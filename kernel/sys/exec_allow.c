#include "sys/exec_allow.h"

#include "core/log.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/path.h"

enum { OWN_MAX = 2 };

/* [I] once the first program runs. */
static struct {
    char *words[2]; /* owns; from label and command line */
    struct inode
        *own[OWN_MAX];     /* owns; the image's program, and its interpreter if it is a script */
    bool outside[OWN_MAX]; /* it was in no layer from the start */
    bool launcher;         /* it is there to start others: all of the image is its */
} allow;

void exec_name_thread(struct thread *thread, const char *path)
{
    const char *slash = strrchr(path, '/');

    str_copy(thread->name, slash ? slash + 1 : path, sizeof(thread->name));
}

void exec_allow_init(const char *label, const char *cmdline)
{
    allow.words[0] = label ? kstrdup(label) : NULL;
    allow.words[1] = cmdline ? kstrdup(cmdline) : NULL;
}

/** Programs whose trade is to start others. */
static bool is_launcher(const char *path)
{
    static const char names[][16] = {
        "sh",      "bash",    "dash",      "ash",       "zsh",         "ksh",       "mksh",
        "fish",    "busybox", "tini",      "dumb-init", "docker-init", "catatonit", "gosu",
        "su-exec", "env",     "s6-svscan", "init",      "runsvdir",    "setpriv",
    };
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    for (u32 i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

/** Are the bytes of @inode those that a layer of the image has? */
static bool is_of_image(struct inode *inode)
{
    return inode->sb->readonly || (inode->ops->origin && inode->ops->origin(inode));
}

static void add_own(u32 slot, struct inode *inode)
{
    inode_get(inode);
    allow.own[slot] = inode;
    allow.outside[slot] = !is_of_image(inode);
}

void exec_allow_own(struct file *file, const struct program *program)
{
    struct path path;

    add_own(0, file->inode);
    if (!program->exe || path_lookup_kernel(program->exe, LOOKUP_FOLLOW, &path))
        return;
    struct inode *runs = path.dentry->inode;
    bool script = runs && runs != file->inode;
    if (script)
        add_own(1, runs);
    allow.launcher = script || is_launcher(program->exe);
    path_put(&path);
}

static bool is_below(const char *dir, size_t len, const char *path)
{
    return !memcmp(dir, path, min(len, strlen(path) + 1));
}

/** Does @dir with the word of @len bytes behind it lead to @file?  Links are followed. */
static bool leads_to(const char *dir, const char *word, size_t len, struct file *file)
{
    char text[256];
    struct path path;

    if ((size_t)format(text, sizeof(text), "%s%.*s", dir, (int)len, word) >= sizeof(text) ||
        path_lookup_kernel(text, LOOKUP_FOLLOW | LOOKUP_QUIET, &path))
        return false;
    bool same = path.dentry->inode == file->inode && !path.mount->by_program;
    path_put(&path);
    return same;
}

/** Does the word stand for @file: a path, a directory's, or a name in the usual places? */
static bool names_file(const char *word, size_t len, struct file *file, const char *real)
{
    static const char *const places[] = {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/",
                                         "/usr/bin/",        "/sbin/",          "/bin/"};

    if (word[len - 1] == '/')
        return is_below(word, len, real);
    if (*word == '/')
        return leads_to("", word, len, file);
    for (u32 i = 0; i < ARRAY_LEN(places); i++)
        if (leads_to(places[i], word, len, file))
            return true;
    return false;
}

static bool word_is(const char *word, size_t len, const char *text)
{
    return strlen(text) == len && !memcmp(word, text, len);
}

static bool word_allows(const char *word, size_t len, struct file *file, const char *real)
{
    if (word_is(word, len, "@any"))
        return true;
    if (!is_of_image(file->inode)) /* what was written since may be anybody's */
        return false;
    if (file->mount && file->mount->by_program) /* and what was put in another's place */
        return false;
    return word_is(word, len, "@image") || names_file(word, len, file, real);
}

static bool is_separator(char c)
{
    return c == ' ' || c == ':' || c == '\n';
}

static bool list_allows(const char *list, struct file *file, const char *real)
{
    while (list && *list) {
        size_t len = 0;
        while (list[len] && !is_separator(list[len]))
            len++;
        if (len && word_allows(list, len, file, real))
            return true;
        list += len + (list[len] != 0);
    }
    return false;
}

static bool is_own(struct file *file)
{
    for (u32 i = 0; i < OWN_MAX; i++)
        if (allow.own[i] == file->inode)
            return allow.outside[i] || is_of_image(file->inode);
    return false;
}

static bool decide(struct file *file, const char *real)
{
    if (is_own(file))
        return true;
    if (allow.launcher && !allow.words[0] && !allow.words[1] && is_of_image(file->inode))
        return true;
    return list_allows(allow.words[0], file, real) || list_allows(allow.words[1], file, real);
}

bool exec_allowed(struct file *file, const char *path)
{
    char *real = kmalloc(LINUX_PATH_MAX);
    ssize_t len = real ? file_path_name(file, real, LINUX_PATH_MAX) : -1;
    const char *name = len >= 0 ? real : path;
    bool allowed = decide(file, name);

    if (!allowed)
        log_warn("%s[%d] may not start '%s' (EACCES): %s", current->name, current->tid, name,
                 is_of_image(file->inode) ? "allow it with --allow-exec PATH"
                                          : "it was written after the image was built; "
                                            "--allow-exec @any allows such programs");
    kfree(real);
    return allowed;
}
