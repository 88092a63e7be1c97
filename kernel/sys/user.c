#include "sys/user.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "core/panic.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "sys/config.h"
#include "vfs/fd.h"
#include "vfs/file.h"
#include "vfs/path.h"

enum {
    TABLE_MAX = (1 << 20) - 1, /* bytes of passwd or group */
    FIELDS = 7,
    HOME_SIZE = 256,
};

/* What the tables say of a user. */
struct identity {
    u32 uid, gid, nr_groups;
    u32 groups[GROUPS_MAX];
    char name[64]; /* "": no line of passwd */
    char home[HOME_SIZE];
};

/* A colon-separated table in memory, eaten line by line; NULL: there is none. */
struct table {
    char *text, *at;
};

static void table_open(struct table *table, const char *path)
{
    struct file *file;

    *table = (struct table){0};
    if (vfs_open(path, O_RDONLY, 0, &file))
        return;
    u64 size = file->inode->size;
    char *text = size <= TABLE_MAX ? kmalloc(size + 1) : NULL;
    ssize_t n = text ? file_read_kernel(file, text, size, 0) : -1;
    file_put(file);
    if (n < 0) {
        kfree(text);
        return;
    }
    text[n] = 0;
    table->text = table->at = text;
}

/* Cut a NUL-terminated piece off *@rest that ends at @stop; NULL at the end. */
static char *cut(char **rest, char stop)
{
    char *piece = *rest;

    if (!piece)
        return NULL;
    char *end = strchr(piece, stop);
    if (end)
        *end = 0;
    *rest = end ? end + 1 : NULL;
    return piece;
}

/* The fields of the next line that has @least of them; those that it has not are "". */
static bool table_next(struct table *table, char *fields[FIELDS], u32 least)
{
    static char none[] = "";
    char *line;

    while ((line = cut(&table->at, '\n'))) {
        u32 count = 0;
        while (count < FIELDS && line)
            fields[count++] = cut(&line, ':');
        bool enough = count >= least;
        while (count < FIELDS)
            fields[count++] = none;
        if (enough)
            return true;
    }
    return false;
}

static bool number_of(const char *text, u32 *out)
{
    u64 number;

    if (!*text || str_to_u64(text, &number) || number >= UINT32_MAX)
        return false;
    *out = (u32)number;
    return true;
}

/* Does a line whose name and number these are speak of @who, a name or a number? */
static bool line_is_of(const char *who, const char *name, const char *number)
{
    u32 wanted, is;

    return !strcmp(name, who) ||
           (number_of(who, &wanted) && number_of(number, &is) && wanted == is);
}

static bool find_user(struct identity *who, const char *name)
{
    enum { NAME, PASSWORD, UID, GID, COMMENT, HOME };
    struct table table;
    char *fields[FIELDS];
    bool found = false;

    table_open(&table, "/etc/passwd");
    while (!found && table_next(&table, fields, HOME + 1)) {
        found = line_is_of(name, fields[NAME], fields[UID]) && number_of(fields[UID], &who->uid) &&
                number_of(fields[GID], &who->gid);
        if (!found)
            continue;
        str_copy(who->name, fields[NAME], sizeof(who->name));
        str_copy(who->home, fields[HOME], sizeof(who->home));
    }
    kfree(table.text);
    return found || number_of(name, &who->uid);
}

enum { GROUP_NAME, GROUP_PASSWORD, GROUP_GID, GROUP_MEMBERS };

static bool find_group(struct identity *who, const char *name)
{
    struct table table;
    char *fields[FIELDS];
    bool found = false;

    table_open(&table, "/etc/group");
    while (!found && table_next(&table, fields, GROUP_GID + 1))
        found = line_is_of(name, fields[GROUP_NAME], fields[GROUP_GID]) &&
                number_of(fields[GROUP_GID], &who->gid);
    kfree(table.text);
    return found || number_of(name, &who->gid);
}

/* The groups that list the user, as initgroups(3) has them. */
static void find_groups(struct identity *who)
{
    struct table table;
    char *fields[FIELDS], *member;

    if (!*who->name)
        return;
    table_open(&table, "/etc/group");
    while (who->nr_groups < GROUPS_MAX && table_next(&table, fields, GROUP_MEMBERS + 1)) {
        u32 gid;
        char *members = fields[GROUP_MEMBERS];
        while ((member = cut(&members, ',')))
            if (!strcmp(member, who->name) && number_of(fields[GROUP_GID], &gid)) {
                who->groups[who->nr_groups++] = gid;
                break;
            }
    }
    kfree(table.text);
}

/* ":GROUP" and "" are root, as Docker has it. */
static void identify(struct identity *who, char *text)
{
    char *group = text, *user = cut(&group, ':');

    if (!find_user(who, *user ? user : "0"))
        fatal_error("user '%s': not in the image's /etc/passwd, and no number", user);
    if (group && *group) {
        if (!find_group(who, group))
            fatal_error("group '%s': not in the image's /etc/group, and no number", group);
        return;
    }
    find_groups(who);
}

static void set_home(const struct identity *who, struct program_config *config)
{
    char word[HOME_SIZE + 8];
    const char *has = config_env(config, "HOME");

    if (has && strcmp(has, "/root")) /* what everybody has who says nothing else */
        return;
    format(word, sizeof(word), "HOME=%s", *who->home ? who->home : "/");
    if (config_set_env(config, word))
        fatal_error("out of memory: no HOME");
}

/* So that /dev/stdout can be opened, as programs do that write their log there. */
static void own_streams(u32 uid)
{
    for (int fd = 0; fd < 3; fd++) {
        struct file *file = fd_get(fd);
        if (!file)
            continue;
        file->inode->uid = uid;
        file_put(file);
    }
}

void user_become(struct process *process, struct program_config *config)
{
    struct creds *c = &process->creds;
    struct identity *who = kzalloc(sizeof(*who));

    if (!who)
        fatal_error("out of memory: cannot become '%s'", config->user);
    identify(who, config->user);
    c->uid = c->euid = c->suid = c->fsuid = who->uid;
    c->gid = c->egid = c->sgid = c->fsgid = who->gid;
    c->nr_groups = who->nr_groups;
    memcpy(c->groups, who->groups, sizeof(c->groups));
    if (who->uid) {
        c->cap_effective = c->cap_permitted = c->cap_inheritable = c->cap_ambient = 0;
        own_streams(who->uid);
    }
    set_home(who, config);
    kfree(who);
}
