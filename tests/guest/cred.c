/* Users, groups and capabilities: who made a file, what ids may become, what is lost on the way. */
#define _GNU_SOURCE
#include "t.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { USER = 4242, GROUP = 4343, OTHER = 5555 };

/* What glibc's wrappers would tell other threads too. */
static int set_uids(long r, long e, long s)
{
    return (int)syscall(SYS_setresuid, r, e, s);
}

static int set_gids(long r, long e, long s)
{
    return (int)syscall(SYS_setresgid, r, e, s);
}

static int set_groups(size_t n, const gid_t *list)
{
    return (int)syscall(SYS_setgroups, n, list);
}

static void become_user(void)
{
    NEED(!set_gids(-1, GROUP, -1));
    NEED(!set_uids(-1, USER, -1));
}

static void become_root(void)
{
    CHECK(!set_uids(-1, 0, -1));
    CHECK(!set_gids(-1, 0, -1));
}

static uint64_t caps(const char *which)
{
    const char *line = strstr(get_file("/proc/self/status"), which);
    return line ? strtoull(line + strlen(which), NULL, 16) : 0;
}

static bool owned(const char *path, uid_t uid, gid_t gid)
{
    struct stat st;
    bool good = !lstat(path, &st) && st.st_uid == uid && st.st_gid == gid;
    if (!good)
        printf("# %s belongs to %u:%u\n", path, st.st_uid, st.st_gid);
    return good;
}

CASE(what_is_made_belongs_to_its_maker)
{
    struct stat st;
    if (geteuid())
        return;
    NEED(!chmod(".", 0777));
    become_user();
    int fd = open("file", O_RDWR | O_CREAT, 0644);
    CHECK(fd >= 0 && owned("file", USER, GROUP));
    close(fd);
    CHECK(!mkdir("dir", 0755) && owned("dir", USER, GROUP));
    CHECK(!symlink("file", "link") && owned("link", USER, GROUP));
    CHECK(!mkfifo("fifo", 0600) && owned("fifo", USER, GROUP));
    fd = open(".", O_RDWR | O_TMPFILE, 0600);
    CHECK(fd >= 0 && !fstat(fd, &st) && st.st_uid == USER && st.st_gid == GROUP);
    close(fd);
    int fds[2];
    CHECK(!pipe(fds) && !fstat(fds[0], &st) && st.st_uid == USER && st.st_gid == GROUP);
    close(fds[0]), close(fds[1]);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(!fstat(fd, &st) && st.st_uid == USER);
    close(fd);
    fd = (int)syscall(SYS_memfd_create, "m", 0);
    CHECK(!fstat(fd, &st) && st.st_uid == USER && st.st_gid == GROUP);
    close(fd);
    become_root();
    CHECK(put_file("roots", "x") && owned("roots", 0, 0));
}

CASE(the_file_system_ids_decide_alone)
{
    if (geteuid())
        return;
    NEED(!chmod(".", 0777));
    CHECK_EQ(syscall(SYS_setfsgid, GROUP), 0);
    CHECK_EQ(syscall(SYS_setfsuid, USER), 0);
    CHECK_EQ(syscall(SYS_setfsuid, -1), USER);
    CHECK(geteuid() == 0 && put_file("fs", "x") && owned("fs", USER, GROUP));
    CHECK_EQ(caps("CapEff:") & 1 << CAP_CHOWN, 0); /* what has to do with files goes with it */
    CHECK(caps("CapEff:") & 1 << CAP_SETUID);
    CHECK_EQ(syscall(SYS_setfsuid, 0), USER);
    CHECK_EQ(syscall(SYS_setfsgid, 0), GROUP);
    CHECK(caps("CapEff:") & 1 << CAP_CHOWN);
}

CASE(a_setgid_directory_gives_its_group)
{
    struct stat st;
    if (geteuid())
        return;
    NEED(!mkdir("shared", 0777) && !chown("shared", 0, OTHER) && !chmod("shared", 02777));
    become_user();
    CHECK(put_file("shared/file", "x") && owned("shared/file", USER, OTHER));
    CHECK(!mkdir("shared/dir", 0755) && owned("shared/dir", USER, OTHER));
    CHECK(!stat("shared/dir", &st) && st.st_mode & S_ISGID);
    int fd = open("shared/program", O_WRONLY | O_CREAT, 02755);
    CHECK(fd >= 0 && !fstat(fd, &st) && !(st.st_mode & S_ISGID)); /* not one of that group */
    close(fd);
    become_root();
}

CASE(only_root_takes_any_id)
{
    uid_t r, e, s;
    gid_t list[2] = {GROUP, OTHER};
    if (geteuid())
        return;
    NEED(!set_uids(USER, USER, 0));
    CHECK_ERR(set_uids(OTHER, -1, -1), EPERM);
    CHECK_ERR(set_gids(-1, OTHER, -1), EPERM);
    CHECK_ERR(set_groups(2, list), EPERM);
    CHECK_ERR(syscall(SYS_setuid, OTHER), EPERM);
    CHECK_ERR(syscall(SYS_setuid, -1), EINVAL);
    CHECK_ERR(syscall(SYS_setreuid, -1, OTHER), EPERM);
    CHECK(!syscall(SYS_setuid, 0)); /* the saved one: only the effective id changes */
    CHECK(!getresuid(&r, &e, &s) && r == USER && e == 0 && s == 0);
    NEED(!set_uids(0, 0, 0));
    NEED(!set_groups(2, list));
    CHECK_EQ(getgroups(0, NULL), 2);
    CHECK(!set_groups(0, NULL));
    NEED(!syscall(SYS_setreuid, USER, 0)); /* the saved one follows the effective one */
    CHECK(!getresuid(&r, &e, &s) && r == USER && e == 0 && s == 0);
    NEED(!set_uids(0, 0, 0));
    NEED(!syscall(SYS_setreuid, -1, USER));
    CHECK(!getresuid(&r, &e, &s) && r == 0 && e == USER && s == USER);
    CHECK_ERR(syscall(SYS_setreuid, OTHER, -1), EPERM);
    NEED(!syscall(SYS_setreuid, USER, 0));
    NEED(!set_uids(0, 0, 0));
}

CASE(capabilities_follow_the_user_ids)
{
    if (geteuid())
        return;
    uint64_t all = caps("CapPrm:");
    NEED(!set_uids(-1, USER, -1));
    CHECK_EQ(caps("CapEff:"), 0);
    CHECK_EQ(caps("CapPrm:"), all);
    NEED(!set_uids(-1, 0, -1));
    CHECK_EQ(caps("CapEff:"), all);
}

static int keeps_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    gid_t group = OTHER;

    NEED(!prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    NEED(!set_uids(USER, USER, USER));
    CHECK_EQ(caps("CapEff:"), 0);
    CHECK_ERR(set_groups(1, &group), EPERM);
    NEED(!syscall(SYS_capget, &header, data));
    CHECK(data[0].permitted & 1 << CAP_SETGID);
    data[0].effective = data[0].permitted;
    data[1].effective = data[1].permitted;
    CHECK(!syscall(SYS_capset, &header, data)); /* as setpriv(1) does */
    CHECK(!set_groups(1, &group));
    CHECK(!set_gids(OTHER, OTHER, OTHER));
    CHECK(!set_groups(0, NULL) && !set_gids(0, 0, 0) && !set_uids(0, 0, 0));
    CHECK(!prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0));
    return 0;
}

CASE(who_keeps_capabilities_may_go_on_with_groups)
{
    if (!geteuid())
        keeps_capabilities();
}

CASE(capset_gives_nothing_that_was_not_there)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2], less[2];
    if (geteuid())
        return;
    NEED(!syscall(SYS_capget, &header, data));
    memcpy(less, data, sizeof(data));
    less[0].effective &= ~(1u << CAP_SETGID);
    CHECK(!syscall(SYS_capset, &header, less));
    CHECK_ERR(set_groups(0, NULL), EPERM);
    less[0].effective = data[0].effective;
    less[0].permitted &= ~(1u << CAP_SETGID);
    CHECK_ERR(syscall(SYS_capset, &header, less), EPERM); /* in force but not permitted */
    CHECK(!syscall(SYS_capset, &header, data));
    CHECK(!set_groups(0, NULL));
}

CASE(ambient_capabilities_are_permitted_and_inheritable)
{
    if (geteuid())
        return;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 0);
    CHECK_ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), EPERM);
    CHECK_ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 63, 0, 0), EINVAL);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL, 0, 0, 0), 1);
    CHECK_ERR(prctl(PR_CAPBSET_READ, 64, 0, 0, 0), EINVAL);
}
