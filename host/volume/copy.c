/* A copy is a script for debugfs, after e2fsck has replayed the journal and looked at everything:
 * debugfs believes what it reads, names with a '/' in them too. */
#include "volume/copy.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "lib/proc.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH_MAX = 64, E2FSCK_LEFT = 4 };
enum kind { KIND_NONE, KIND_FILE, KIND_FOLDER, KIND_OTHER };

static int image_settle(const char *image, struct err *err)
{
    const char *const argv[] = {"e2fsck", "-fp", image, NULL};
    struct buf words CLEANUP(buf_free) = {0};
    struct proc proc = {.argv = argv, .out = &words, .errors = &words};

    int status = proc_run(&proc, err);
    if (status < 0)
        return status;
    if (status >= E2FSCK_LEFT)
        return err_set(err, EINVAL, "%s is damaged; 'e2fsck -f %s' may mend it", image, image);
    return 0;
}

/* One word as debugfs' parser takes it. */
static int script_word(struct buf *script, const char *word, struct err *err)
{
    if (strchr(word, '\n'))
        return err_set(err, EINVAL, "'%s': a name with a line break cannot be copied", word);
    buf_puts(script, " \"");
    for (; *word; word++)
        buf_printf(script, *word == '"' ? "\"\"" : "%c", *word);
    buf_puts(script, "\"");
    return 0;
}

static int script_add(struct buf *script, const char *verb, const char *a, const char *b,
                      struct err *err)
{
    buf_puts(script, verb);
    int failed = script_word(script, a, err);
    if (!failed && b)
        failed = script_word(script, b, err);
    buf_puts(script, "\n");
    return failed;
}

/* The first complaint: its banner is none, nor that what should go or come is so already. */
static const char *script_complaint(char *errors)
{
    char *rest = errors;

    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
        if (*line && !str_starts(line, "debugfs ") && !str_starts(line, "rm: File not found") &&
            !strstr(line, "while trying to resolve filename") &&
            !(str_starts(line, "mkdir: ") && strstr(line, "already exists")))
            return line;
    return NULL;
}

static int script_run(const char *image, const struct buf *script, struct err *err)
{
    char *folder CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, err);
    struct buf errors CLEANUP(buf_free) = {0};

    if (!folder)
        return -err->code;
    char *path CLEANUP(mem_free) = fs_join(folder, "script");
    int failed = fs_write(path, script->data, script->len, 0600, err);
    if (failed)
        return failed;
    const char *const argv[] = {"debugfs", "-w", "-f", path, image, NULL};
    struct proc proc = {.argv = argv, .errors = &errors};
    failed = proc_check(&proc, err);
    if (failed)
        return failed;
    const char *complaint = errors.len ? script_complaint(errors.data) : NULL;
    if (!complaint)
        return 0;
    bool full = strstr(complaint, "Could not allocate") != NULL;
    return err_set(err, full ? ENOSPC : EIO, "%s: %s", image, full ? "it is full" : complaint);
}

static int image_kind(const char *image, const char *path, enum kind *kind, struct err *err)
{
    struct buf script CLEANUP(buf_free) = {0}, out CLEANUP(buf_free) = {0},
                      errors CLEANUP(buf_free) = {0};

    buf_puts(&script, "stat");
    int failed = script_word(&script, path, err);
    if (failed)
        return failed;
    const char *const argv[] = {"debugfs", "-R", buf_text(&script), image, NULL};
    struct proc proc = {.argv = argv, .out = &out, .errors = &errors};
    failed = proc_check(&proc, err);
    const char *type = failed ? NULL : strstr(buf_text(&out), "Type: ");
    *kind = !type                                 ? KIND_NONE
            : str_starts(type, "Type: regular")   ? KIND_FILE
            : str_starts(type, "Type: directory") ? KIND_FOLDER
                                                  : KIND_OTHER;
    return failed;
}

static int add_tree(struct buf *script, const char *from, const char *to, unsigned depth,
                    struct err *err);

static int add_folder(struct buf *script, const char *from, const char *to, unsigned depth,
                      struct err *err)
{
    DIR *dir = opendir(from);
    struct dirent *entry;

    if (!dir)
        return err_errno(err, errno, "%s", from);
    int failed = depth ? script_add(script, "mkdir", to, NULL, err)
                       : err_set(err, ELOOP, "%s: too deep", from);
    while (!failed && (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *below CLEANUP(mem_free) = fs_join(from, entry->d_name);
        char *inside CLEANUP(mem_free) = fs_join(to, entry->d_name);
        failed = add_tree(script, below, inside, depth - 1, err);
    }
    closedir(dir);
    return failed;
}

static int add_link(struct buf *script, const char *from, const char *to, struct err *err)
{
    char target[PATH_MAX];
    ssize_t len = readlink(from, target, sizeof(target) - 1);

    if (len < 0)
        return err_errno(err, errno, "%s", from);
    target[len] = '\0';
    int failed = script_add(script, "rm", to, NULL, err);
    return failed ? failed : script_add(script, "symlink", to, target, err);
}

/* Sockets, pipes and devices are left out, as `cp` of a running system's folder would hang on. */
static int add_tree(struct buf *script, const char *from, const char *to, unsigned depth,
                    struct err *err)
{
    struct stat st;

    if (lstat(from, &st) < 0)
        return err_errno(err, errno, "%s", from);
    if (S_ISDIR(st.st_mode))
        return add_folder(script, from, to, depth, err);
    if (S_ISLNK(st.st_mode))
        return add_link(script, from, to, err);
    if (!S_ISREG(st.st_mode))
        return 0;
    if (access(from, R_OK) < 0)
        return err_errno(err, errno, "%s", from);
    int failed = script_add(script, "rm", to, NULL, err);
    return failed ? failed : script_add(script, "write", from, to, err);
}

int volume_copy_in(const char *image, const char *from, const char *to, struct err *err)
{
    struct buf script CLEANUP(buf_free) = {0};
    enum kind kind = KIND_NONE;

    char *source CLEANUP(mem_free) = fs_real(from, err);
    int failed = source ? image_settle(image, err) : -err->code;
    if (!failed)
        failed = image_kind(image, to, &kind, err);
    if (failed)
        return failed;
    if (kind == KIND_NONE && str_ends(to, "/"))
        return err_set(err, ENOENT, "no folder '%s' in %s", to, image);
    bool into = kind == KIND_FOLDER || str_ends(to, "/");
    char *target CLEANUP(mem_free) = into ? fs_join(to, fs_name(source)) : str_dup(to);
    failed = add_tree(&script, source, target, DEPTH_MAX, err);
    return failed ? failed : script_run(image, &script, err);
}

int volume_copy_out(const char *image, const char *from, const char *to, struct err *err)
{
    struct buf script CLEANUP(buf_free) = {0};
    enum kind kind = KIND_NONE;

    int failed = image_settle(image, err);
    if (!failed)
        failed = image_kind(image, from, &kind, err);
    if (failed)
        return failed;
    if (kind == KIND_NONE)
        return err_set(err, ENOENT, "no file '%s' in %s", from, image);
    if (kind == KIND_OTHER)
        return err_set(err, EINVAL, "'%s' is neither a file nor a folder", from);
    if (kind == KIND_FOLDER && !fs_is_dir(to))
        return err_set(err, ENOTDIR, "'%s' is a folder; to copy it, '%s' must be one too", from,
                       to);
    char *target CLEANUP(mem_free) =
        kind == KIND_FILE && fs_is_dir(to) ? fs_join(to, fs_name(from)) : str_dup(to);
    failed = script_add(&script, kind == KIND_FILE ? "dump -p" : "rdump", from, target, err);
    return failed ? failed : script_run(image, &script, err);
}
