/* Storms on ext4 against a model, decided by a seed: calls in any order on few names; and the same
 * with a power cut in the middle, after which the journal is replayed, e2fsck finds nothing and
 * what fsync had acknowledged is there.  Each seed has a process of its own:
 *     EXT4_SEED=17 build/tests/unit/ext4_storm_test --here power_cuts     repeats one
 *     EXT4_SEEDS=1000 build/tests/unit/ext4_storm_test                    runs that many */
#include "test.h"

#include "abi/fcntl.h"
#include "fake/disk.h"
#include "fake/vfs_calls.h"
#include "fake/vfs_world.h"
#include "fs/ext4.h"
#include "vfs/mount.h"
#include "vfs/page_cache.h"

#include <sys/wait.h>
#include <unistd.h>

enum { FILES = 10, FILE_MAX = 200000, OPS = 400, SEEDS = 24 };

/* What a file should be. */
struct model {
    bool exists;
    u32 size;
    u8 *data;     /* FILE_MAX */
    bool durable; /* as it is now, name and all */
};

struct storm {
    struct fake_disk *disk;
    struct super_block *sb;
    struct model files[FILES];
    u64 state;
    bool dead; /* the disk has lost power */
    u32 op;
};

static u64 roll(struct storm *s, u64 below)
{
    s->state ^= s->state << 13;
    s->state ^= s->state >> 7;
    s->state ^= s->state << 17;
    return s->state % below;
}

/* Half of them in a directory. */
static const char *name_of(u32 i)
{
    static char names[4][32];
    static u32 next;
    char *name = names[next++ % 4];

    snprintf(name, sizeof(names[0]), i % 2 ? "/dir/file%u" : "/file%u", i);
    return name;
}

/* Also if no call was told: a discard behind a commit may be what failed. */
static bool has_died(struct storm *s)
{
    s->dead |= s->disk->dies_at && s->disk->ops >= s->disk->dies_at;
    return s->dead;
}

/* An error is fine once the disk is dead, and where there is no room. */
static bool failed(struct storm *s, s64 err, const char *what)
{
    if (err >= 0)
        return false;
    if (has_died(s))
        return true;
    EXPECT_TRUE(err == -ENOSPC, what);
    if (err != -ENOSPC)
        fprintf(stderr, "op %u: %s: %lld\n", s->op, what, (long long)err);
    return true;
}

static struct file *open_file(struct storm *s, u32 i, int flags)
{
    struct file *file;

    return failed(s, k_open(name_of(i), flags, 0644, &file), "open") ? NULL : file;
}

static void all_durable(struct storm *s)
{
    for (u32 i = 0; i < FILES; i++)
        s->files[i].durable = true;
}

/* From memory of the program's, which O_DIRECT does not copy. */
static ssize_t write_direct(struct file *file, const u8 *data, u32 n, s64 pos)
{
    struct iov_iter from;

    file->flags |= O_DIRECT;
    iter_init_user(&from, (uaddr_t)(uintptr_t)data, n);
    return file_write(file, &from, &pos);
}

static void storm_write(struct storm *s, u32 i)
{
    static alignas(512) u8 data[70000];
    struct model *m = &s->files[i];
    u32 at = (u32)(roll(s, 3) ? roll(s, m->size + 1) : roll(s, FILE_MAX - sizeof(data)));
    u32 n = 1 + (u32)(roll(s, 4) ? roll(s, 5000) : roll(s, sizeof(data) - 1));

    if (at + n > FILE_MAX)
        return;
    struct file *file = open_file(s, i, O_CREAT | O_RDWR | (roll(s, 12) ? 0 : O_DSYNC));
    if (!file)
        return;
    if (!m->exists) {
        *m = (struct model){.exists = true, .data = m->data};
        memset(m->data, 0, FILE_MAX);
    }
    for (u32 b = 0; b < n; b++)
        data[b] = (u8)roll(s, 256);
    m->durable = false;
    bool direct = !roll(s, 8);
    if (direct) {
        at &= ~511u;
        n = (n & ~511u) ? n & ~511u : 512;
    }
    ssize_t done = direct ? write_direct(file, data, n, at) : k_write(file, data, n, at);
    if (!failed(s, done, "write")) {
        memcpy(m->data + at, data, (size_t)done);
        m->size = at + (u32)done > m->size ? at + (u32)done : m->size;
        if (file->flags & O_DSYNC && !s->dead)
            m->durable = true;
    }
    file_put(file);
}

static void storm_truncate(struct storm *s, u32 i)
{
    struct model *m = &s->files[i];
    u32 size = (u32)(roll(s, 2) ? roll(s, m->size + 1) : roll(s, FILE_MAX));

    if (!m->exists)
        return;
    struct file *file = open_file(s, i, O_RDWR);
    if (!file)
        return;
    m->durable = false;
    if (!failed(s, file->ops->truncate(file, size), "truncate")) {
        if (size < m->size)
            memset(m->data + size, 0, FILE_MAX - size);
        m->size = size;
    }
    file_put(file);
}

static void storm_allocate(struct storm *s, u32 i)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE};
    struct model *m = &s->files[i];
    int mode = modes[roll(s, ARRAY_LEN(modes))];
    u32 at = (u32)roll(s, FILE_MAX / 2), n = 1 + (u32)roll(s, FILE_MAX / 2 - 1);

    if (!m->exists)
        return;
    struct file *file = open_file(s, i, O_RDWR);
    if (!file)
        return;
    m->durable = false;
    if (!failed(s, file->ops->allocate(file, mode, at, n), "fallocate")) {
        if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
            memset(m->data + at, 0, n);
        if (!(mode & FALLOC_FL_KEEP_SIZE) && at + n > m->size)
            m->size = at + n;
    } else if (!s->dead) {
        m->exists = false; /* it may be done in part: forget the file */
        (void)k_unlink(name_of(i));
    }
    file_put(file);
}

static void storm_sync(struct storm *s, u32 i)
{
    if (!s->files[i].exists)
        return;
    struct file *file = open_file(s, i, O_RDWR);
    if (!file)
        return;
    if (!failed(s, file->ops->sync(file, roll(s, 2)), "fsync"))
        s->files[i].durable = true;
    file_put(file);
}

static void storm_unlink(struct storm *s, u32 i)
{
    if (!s->files[i].exists)
        return;
    s->files[i].durable = false;
    if (!failed(s, k_unlink(name_of(i)), "unlink"))
        s->files[i].exists = false;
}

static void storm_rename(struct storm *s, u32 i, u32 k)
{
    struct model *a = &s->files[i], *b = &s->files[k], old = *a;

    if (!a->exists || i == k)
        return;
    u32 flags = b->exists && !roll(s, 3) ? RENAME_EXCHANGE : 0;
    a->durable = b->durable = false;
    if (failed(s, k_rename(name_of(i), name_of(k), flags), "rename"))
        return;
    *a = *b;
    *b = old;
    a->exists = flags != 0;
    a->durable = b->durable = false;
}

static void storm_attr(struct storm *s, u32 i)
{
    char value[400];

    if (!s->files[i].exists)
        return;
    struct file *file = open_file(s, i, O_RDWR);
    if (!file)
        return;
    memset(value, 'a', sizeof(value));
    failed(s, file->inode->ops->setxattr(file->inode, "user.a", value, roll(s, sizeof(value)), 0),
           "setxattr");
    file_put(file);
}

static bool same(struct storm *s, u32 i)
{
    static u8 back[FILE_MAX];
    struct model *m = &s->files[i];
    struct file *file;
    int err = k_open(name_of(i), O_RDONLY, 0, &file);

    if (!m->exists)
        return EXPECT_EQ(err, -ENOENT, name_of(i));
    if (!EXPECT_EQ(err, 0, name_of(i)))
        return false;
    bool ok = EXPECT_EQ(file->inode->size, m->size, "the size") &&
              EXPECT_EQ(file_read_kernel(file, back, FILE_MAX, 0), m->size, "the length") &&
              EXPECT_MEM(back, m->data, m->size, name_of(i));
    file_put(file);
    return ok;
}

static void storm_check(struct storm *s, u32 i)
{
    struct file *file;

    if (s->files[i].exists && roll(s, 2) && !k_open(name_of(i), O_RDWR, 0, &file)) {
        if (!failed(s, file->ops->sync(file, true), "fdatasync"))
            page_cache_remove(file->inode->pages, 0, UINT64_MAX);
        file_put(file);
    }
    if (!has_died(s) && !same(s, i))
        fprintf(stderr, "op %u\n", s->op);
}

static void step(struct storm *s)
{
    u32 i = (u32)roll(s, FILES);

    switch (roll(s, 16)) {
    case 0:
    case 1:
        storm_sync(s, i);
        break;
    case 2:
        storm_truncate(s, i);
        break;
    case 3:
        storm_allocate(s, i);
        break;
    case 4:
        storm_unlink(s, i);
        break;
    case 5:
    case 6:
        storm_rename(s, i, (u32)roll(s, FILES));
        break;
    case 7:
        storm_attr(s, i);
        break;
    case 8:
        storm_check(s, i);
        break;
    case 9:
        if (!roll(s, 4) && !failed(s, s->sb->ops->sync(s->sb), "sync"))
            all_durable(s);
        break;
    default:
        storm_write(s, i);
    }
}

static struct super_block *mount(struct fake_disk *disk)
{
    struct super_block *sb;
    char why[200];
    int err = ext4_mount(&disk->bd, false, why, sizeof(why), &sb);

    if (!EXPECT_EQ(err, 0, why))
        return NULL;
    world_mount_root(sb);
    return sb;
}

static void start(struct storm *s, u64 seed)
{
    static const char *const options[] = {
        "-b 4096 -J size=4",
        "-b 1024 -J size=1",
        "-b 1024 -J size=1 -O ^metadata_csum",
        "-b 2048 -J size=4 -O metadata_csum_seed,orphan_file",
    };

    *s = (struct storm){.state = seed * 0x9e3779b97f4a7c15ull + 99};
    for (int i = 0; i < 8; i++)
        roll(s, 2);
    s->disk =
        disk_mke2fs(options[seed % ARRAY_LEN(options)], roll(s, 4) || seed % 4 != 1 ? 20480 : 6144);
    world_create();
    s->sb = s->disk ? mount(s->disk) : NULL;
    if (!s->sb)
        abort();
    for (u32 i = 0; i < FILES; i++)
        s->files[i] = (struct model){.data = calloc(1, FILE_MAX)};
    EXPECT_EQ(vfs_mkdir("/dir", 0755), 0, NULL);
    EXPECT_EQ(s->sb->ops->sync(s->sb), 0, NULL);
}

static void storm_without_cut(u64 seed)
{
    struct storm s;

    start(&s, seed);
    for (s.op = 0; s.op < OPS && !test_has_failed(); s.op++)
        step(&s);
    for (u32 i = 0; i < FILES; i++)
        same(&s, i);
    world_destroy();
    s.sb->ops->unmount(s.sb);
    EXPECT_EQ(disk_e2fsck(s.disk), 0, "e2fsck finds nothing");
}

static void storm_with_cut(u64 seed)
{
    struct storm s;

    start(&s, seed);
    s.disk->dies_at = s.disk->ops + 1 + roll(&s, 400);
    for (s.op = 0; s.op < OPS && !s.dead && !test_has_failed(); s.op++)
        step(&s);
    struct fake_disk *after = disk_after_cut(s.disk, seed);
    if (getenv("KEEP_CUT")) {
        FILE *out = fopen(getenv("KEEP_CUT"), "w");
        (void)!fwrite(after->bytes, 1, after->size, out);
        fclose(out);
    }
    world_destroy();
    world_create();
    s.disk = after;
    struct super_block *sb = mount(after);
    if (!sb)
        return;
    for (u32 i = 0; i < FILES; i++)
        if (s.files[i].durable)
            same(&s, i);
    world_destroy();
    sb->ops->unmount(sb);
    EXPECT_EQ(disk_e2fsck(after), 0, "e2fsck finds nothing after the replay");
}

/* Calls whose errors do not matter. */
static void careless_step(struct storm *s)
{
    u32 i = (u32)roll(s, FILES);
    static u8 back[8192];
    struct file *file;

    if (k_open(name_of(i), O_CREAT | O_RDWR, 0644, &file))
        return;
    (void)!k_write(file, s->files[i].data, 1 + roll(s, 30000), (s64)roll(s, 50000));
    (void)!file_read_kernel(file, back, sizeof(back), (s64)roll(s, 50000));
    if (!roll(s, 3))
        (void)file->ops->sync(file, false);
    if (!roll(s, 4))
        (void)file->ops->truncate(file, roll(s, 60000));
    if (!roll(s, 8))
        (void)file->inode->ops->setxattr(file->inode, "user.b", back, roll(s, 500), 0);
    file_put(file);
    if (!roll(s, 4))
        (void)k_rename(name_of(i), name_of((u32)roll(s, FILES)), 0);
    if (!roll(s, 8))
        (void)k_unlink(name_of(i));
}

/* Every transfer of a short storm fails once, each in a process of its own. */
static void storm_with_error(u64 seed)
{
    struct storm s;

    start(&s, seed / 16);
    if (seed & 1)
        s.disk->read_fails_at = s.disk->reads + 1 + seed % 97;
    else
        s.disk->fails_at = s.disk->ops + 1 + seed % 199;
    for (s.op = 0; s.op < 60; s.op++)
        careless_step(&s);
    world_destroy();
    s.sb->ops->unmount(s.sb);
    /* what the disk holds now may need its journal; then it must be whole */
    world_create();
    s.disk->fails_at = s.disk->read_fails_at = 0;
    struct super_block *sb = mount(s.disk);
    if (!sb)
        return;
    world_destroy();
    sb->ops->unmount(sb);
    int status = disk_e2fsck(s.disk);
    EXPECT_TRUE(status == 0 || status == 4, "nothing but the mark of an error");
}

/* Bytes of what is on the disk change, without checksums to tell: nothing may crash or hang. */
static void storm_with_damage(u64 seed)
{
    struct super_block *sb;
    struct storm s;
    char why[200];

    start(&s, seed * 4 + 2); /* the one of the options without checksums */
    for (s.op = 0; s.op < 60; s.op++)
        step(&s);
    world_destroy();
    s.sb->ops->unmount(s.sb);
    for (u32 left = 1 + (u32)roll(&s, 24); left;) {
        u64 at = roll(&s, 3) ? roll(&s, s.disk->size / 2) : 1024 + roll(&s, 3072);
        if (!s.disk->bytes[at])
            continue;
        s.disk->bytes[at] = (u8)roll(&s, 256);
        left--;
    }
    world_create();
    if (ext4_mount(&s.disk->bd, false, why, sizeof(why), &sb))
        return;
    world_mount_root(sb);
    for (s.op = 0; s.op < 60; s.op++)
        careless_step(&s);
    world_destroy();
    sb->ops->unmount(sb);
}

static void run_seeds(void (*run)(u64 seed), u32 times)
{
    const char *one = getenv("EXT4_SEED"), *many = getenv("EXT4_SEEDS");
    u64 seeds = many ? strtoull(many, NULL, 10) : times;

    if (one) {
        run(strtoull(one, NULL, 10));
        fflush(stdout);
        _exit(test_has_failed());
    }
    u32 bad = 0;
    alarm(0); /* each seed has one of its own */
    for (u64 seed = 1; seed <= seeds; seed++) {
        int status;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(60);
            run(seed);
            fflush(stdout);
            _exit(test_has_failed());
        }
        waitpid(pid, &status, 0);
        if (status)
            printf("    EXT4_SEED=%llu: status %#x\n", (unsigned long long)seed, status);
        bad += status != 0;
    }
    EXPECT_EQ(bad, 0, "seeds that failed");
}

TEST(a_storm_leaves_what_the_model_has)
{
    run_seeds(storm_without_cut, SEEDS);
}

TEST(power_cuts)
{
    run_seeds(storm_with_cut, SEEDS * 2);
}

TEST(failed_transfers)
{
    run_seeds(storm_with_error, SEEDS);
}

TEST(damaged_metadata)
{
    run_seeds(storm_with_damage, SEEDS * 2);
}
