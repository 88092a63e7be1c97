/* Temporary folders that vanish however we end.  The list is written with the ending signals
 * blocked, so that the handler always sees it whole; the handler itself uses system calls only. */
#include "lib/fs.h"

#include "lib/cleanup.h"
#include "lib/proc.h"
#include "lib/types.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    TMPDIRS = 16,
};

static char *tmpdirs[TMPDIRS]; /* paths, owned by the callers of fs_tmpdir(); NULL: free */
static pid_t tmpdir_owner;     /* who made them: a forked child that exits leaves them alone */
static const int tmpdir_endings[] = {SIGINT, SIGTERM, SIGHUP};

struct linux_dirent64 { /* getdents64(2), which libc declares under another name */
    u64 d_ino;
    s64 d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};

static int remove_at(int dir, const char *name);

static int remove_inside(int dir)
{
    alignas(8) char entries[1024];
    int worst = 0;
    long n;

    while ((n = syscall(SYS_getdents64, dir, entries, sizeof(entries))) > 0) {
        for (long at = 0; at < n;) {
            const struct linux_dirent64 *entry = (const void *)(entries + at);
            const char *name = entry->d_name;
            at += entry->d_reclen;
            if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                continue;
            int failed = remove_at(dir, name);
            worst = worst ? worst : failed;
        }
    }
    return n < 0 ? -errno : worst;
}

/* Bounded by the depth that descriptors allow, some 1000 folders. */
static int remove_at(int dir, const char *name)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int inner = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0)
        return -errno;
    int failed = remove_inside(inner);
    close(inner);
    if (unlinkat(dir, name, AT_REMOVEDIR) < 0 && !failed)
        failed = -errno;
    return failed;
}

int fs_remove_tree(const char *path)
{
    return remove_at(AT_FDCWD, path);
}

/* A child that still writes could put back what we remove, so it ends first. */
static void tmpdirs_remove_all(void)
{
    pid_t child = proc_current();

    if (getpid() != tmpdir_owner)
        return;
    if (child > 0 && kill(child, SIGKILL) == 0)
        waitpid(child, NULL, 0);
    for (size_t i = 0; i < TMPDIRS; i++)
        if (tmpdirs[i])
            fs_remove_tree(tmpdirs[i]);
}

static void tmpdir_on_signal(int signal_number)
{
    tmpdirs_remove_all();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void tmpdir_watch(void)
{
    static bool watching;
    struct sigaction ours = {.sa_handler = tmpdir_on_signal}, old;

    if (watching)
        return;
    watching = true;
    tmpdir_owner = getpid();
    atexit(tmpdirs_remove_all);
    for (size_t i = 0; i < ARRAY_LEN(tmpdir_endings); i++)
        sigaddset(&ours.sa_mask, tmpdir_endings[i]);
    for (size_t i = 0; i < ARRAY_LEN(tmpdir_endings); i++)
        if (sigaction(tmpdir_endings[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(tmpdir_endings[i], &ours, NULL);
}

static void tmpdir_block(sigset_t *before)
{
    sigset_t endings;

    sigemptyset(&endings);
    for (size_t i = 0; i < ARRAY_LEN(tmpdir_endings); i++)
        sigaddset(&endings, tmpdir_endings[i]);
    sigprocmask(SIG_BLOCK, &endings, before);
}

static char **tmpdir_slot(const char *dir)
{
    for (size_t i = 0; i < TMPDIRS; i++)
        if (tmpdirs[i] == dir)
            return &tmpdirs[i];
    return NULL;
}

char *fs_tmpdir(const char *parent, struct err *err)
{
    const char *from_env = getenv("TMPDIR");
    const char *base = parent ? parent : from_env && *from_env ? from_env : "/tmp";
    char *dir = str_printf("%s/ingot-XXXXXX", base);
    sigset_t before;

    tmpdir_watch();
    tmpdir_block(&before);
    char **slot = tmpdir_slot(NULL);
    int why = !slot ? EMFILE : mkdtemp(dir) ? 0 : errno;
    if (!why)
        *slot = dir;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (!why)
        return dir;
    err_errno(err, why, "%s: cannot make a temporary folder", base);
    free(dir);
    return NULL;
}

void fs_tmpdir_remove(char **dir)
{
    sigset_t before;

    if (!*dir)
        return;
    fs_remove_tree(*dir);
    tmpdir_block(&before);
    char **slot = tmpdir_slot(*dir);
    if (slot)
        *slot = NULL;
    sigprocmask(SIG_SETMASK, &before, NULL);
    free(*dir);
    *dir = NULL;
}
