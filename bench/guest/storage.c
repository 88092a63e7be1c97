/* Storage operations on an ext4 volume, between two marks each, for the plugin to count
 * instructions, and with a clock beside.
 *
 *     bench-storage [reboot] FOLDER       FOLDER is on the volume, which bench/storage.py made: it
 * has many/ with 100,000 names, and large, 64 MiB
 *
 * With "reboot" this is a Linux guest's init: it mounts /dev/vda first, and ends with a reboot.
 * Prints `op NAME ROUNDS` before each pair of marks and `ns NAME NS` (a round) after. */
#include "plugin/marker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    MARK_START = 1,
    MARK_STOP = 2,
    PAGE = 4096,
    LARGE = 64 << 20,
    DEPTH = 32,
    BLOCK = 128 << 10,
    NAMES = 100000,
    FILES = 10000,
    FILES_A_FOLDER = 100
};

static char page[PAGE] __attribute__((aligned(PAGE)));
static char block[BLOCK] __attribute__((aligned(PAGE)));
static int cached, direct;
static volatile long sink;
static long long started;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void must(long result, const char *what)
{
    if (result < 0)
        die(what);
}

static long long now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void begin(const char *name, int rounds)
{
    printf("op %s %d\n", name, rounds);
    fflush(stdout);
    started = now();
    MARK(MARK_START);
}

static void end(const char *name, int rounds)
{
    MARK(MARK_STOP);
    printf("ns %s %lld\n", name, (now() - started) / rounds);
}

/* ---- single calls ---- */

static void op_loop(int n)
{
    for (int i = 0; i < n; i++)
        sink = i;
}

static void op_pread_1(int n)
{
    for (int i = 0; i < n; i++)
        must(pread(cached, page, 1, 100), "pread");
}

static void op_pread(int n)
{
    for (int i = 0; i < n; i++)
        must(pread(cached, page, PAGE, (i & 63) * PAGE), "pread");
}

static void op_pwrite(int n)
{
    for (int i = 0; i < n; i++)
        must(pwrite(cached, page, PAGE, (i & 63) * PAGE), "pwrite");
}

static void op_stat(int n)
{
    struct stat st;
    for (int i = 0; i < n; i++)
        must(stat("cached", &st), "stat");
}

static void op_open_close(int n)
{
    for (int i = 0; i < n; i++) {
        int fd = open("cached", O_RDONLY);
        must(fd, "open");
        close(fd);
    }
}

static const volatile char *mapping;

static void op_map_fault(int n)
{
    for (int i = 0; i < n; i++)
        sink = mapping[(size_t)i * PAGE];
}

static void map(int n)
{
    void *at = mmap(NULL, (size_t)n * PAGE, PROT_READ, MAP_SHARED, cached, 0);
    if (at == MAP_FAILED)
        die("mmap");
    mapping = at;
}

static void unmap(int n)
{
    munmap((void *)(size_t)mapping, (size_t)n * PAGE);
}

static void op_map_unmap(int n)
{
    map(n);
    op_map_fault(n);
    unmap(n);
}

static void op_create_fsync(int n)
{
    static int next;
    char name[32];

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "c%d", next++);
        int fd = open(name, O_CREAT | O_WRONLY | O_EXCL, 0644);
        must(fd, "create");
        must(write(fd, page, PAGE), "write");
        must(fsync(fd), "fsync");
        close(fd);
    }
}

static void op_rewrite_fsync(int n)
{
    for (int i = 0; i < n; i++) {
        must(pwrite(cached, page, PAGE, 0), "pwrite");
        must(fdatasync(cached), "fdatasync");
    }
}

/* ---- O_DIRECT ---- */

static void op_read_sequential(int n)
{
    for (int i = 0; i < n; i++)
        must(pread(direct, block, BLOCK, (off_t)i * BLOCK % LARGE), "pread");
}

static void op_write_sequential(int n)
{
    for (int i = 0; i < n; i++)
        must(pwrite(direct, block, BLOCK, (off_t)i * BLOCK % LARGE), "pwrite");
}

static int reads_each;

static void *random_reads(void *arg)
{
    unsigned state = (unsigned)(size_t)arg * 2654435761u + 1;
    void *own = aligned_alloc(PAGE, PAGE);

    for (int i = 0; i < reads_each; i++) {
        state = state * 1664525u + 1013904223u;
        must(pread(direct, own, PAGE, (off_t)(state >> 8) % (LARGE / PAGE) * PAGE), "pread");
    }
    free(own);
    return NULL;
}

/* As many threads as the queue is to be deep. */
static void op_read_random(int n)
{
    pthread_t threads[DEPTH];
    pthread_attr_t attr;

    reads_each = n / DEPTH;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1 << 16);
    for (long i = 0; i < DEPTH; i++)
        if (pthread_create(&threads[i], &attr, random_reads, (void *)i))
            die("pthread_create");
    for (int i = 0; i < DEPTH; i++)
        pthread_join(threads[i], NULL);
}

/* ---- many names ---- */

static void op_readdir(int n)
{
    DIR *dir = opendir("many");
    int count = 0;

    if (!dir)
        die("many");
    while (readdir(dir))
        count++;
    closedir(dir);
    if (count != n + 2) {
        fprintf(stderr, "%d names\n", count);
        exit(1);
    }
}

/* What tar does for each file, and a sync in the end. */
static void op_untar(int n)
{
    static int generation;
    struct timespec times[2] = {{1600000000, 0}, {1600000000, 0}};
    char name[64];

    generation++;
    for (int i = 0; i < n; i++) {
        if (i % FILES_A_FOLDER == 0) {
            snprintf(name, sizeof(name), "tree%d-%d", generation, i / FILES_A_FOLDER);
            must(mkdir(name, 0755), "mkdir");
        }
        snprintf(name, sizeof(name), "tree%d-%d/file-%d.c", generation, i / FILES_A_FOLDER, i);
        int fd = open(name, O_CREAT | O_WRONLY | O_EXCL, 0600);
        must(fd, "create");
        must(write(fd, block, (size_t)(i * 37 % 6000)), "write");
        must(futimens(fd, times), "futimens");
        must(fchown(fd, 0, 0), "fchown");
        must(fchmod(fd, 0644), "fchmod");
        close(fd);
    }
    sync();
}

/* ---- sqlite ---- */

static sqlite3 *db;

static void sql(const char *text)
{
    char *error;
    if (sqlite3_exec(db, text, NULL, NULL, &error)) {
        fprintf(stderr, "sqlite: %s: %s\n", text, error);
        exit(1);
    }
}

static void op_sqlite(int n)
{
    for (int i = 0; i < n; i++)
        sql("insert into t(x) values(randomblob(200))");
}

static void set_up_sqlite(const char *mode)
{
    char text[100];

    sqlite3_close(db);
    unlink("db");
    if (sqlite3_open_v2("db", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL))
        die("db");
    snprintf(text, sizeof(text), "pragma journal_mode=%s; pragma synchronous=full", mode);
    sql(text);
    sql("create table t(n integer primary key, x blob)");
}

/* ---- all of them ---- */

static const struct op {
    const char *name;
    void (*run)(int n);
    int rounds, measures;
    const char *sqlite_mode;
} ops[] = {
    {"loop", op_loop, 1000, 2, NULL},
    {"pread_1", op_pread_1, 500, 3, NULL},
    {"pread_4k", op_pread, 500, 3, NULL},
    {"pwrite_4k", op_pwrite, 500, 3, NULL},
    {"open_close", op_open_close, 500, 2, NULL},
    {"stat", op_stat, 500, 2, NULL},
    {"map_fault", op_map_fault, 512, 3, NULL},
    {"map_unmap", op_map_unmap, 512, 3, NULL},
    {"create_fsync", op_create_fsync, 100, 4, NULL},
    {"rewrite_fsync", op_rewrite_fsync, 100, 4, NULL},
    {"sqlite_delete", op_sqlite, 60, 4, "delete"},
    {"sqlite_wal", op_sqlite, 60, 4, "wal"},
    {"read_random", op_read_random, 3200, 4, NULL},
    {"read_sequential", op_read_sequential, 512, 4, NULL},
    {"write_sequential", op_write_sequential, 512, 4, NULL},
    {"readdir", op_readdir, NAMES, 2, NULL},
    {"untar", op_untar, FILES, 2, NULL},
};

static void set_up(void)
{
    must(cached = open("cached", O_RDWR | O_CREAT | O_TRUNC, 0644), "cached");
    for (int i = 0; i < 512; i++)
        must(write(cached, page, PAGE), "write");
    must(fsync(cached), "fsync");
    must(direct = open("large", O_RDWR | O_DIRECT), "large");
}

static int make(void)
{
    unsigned state = 1;
    char name[40];

    must(mkdir("many", 0755), "many");
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "many/a-name-as-they-are-%d", i);
        must(mknod(name, S_IFREG | 0644, 0), name);
    }
    int fd = open("large", O_CREAT | O_WRONLY, 0644);
    must(fd, "large");
    for (int i = 0; i < LARGE / BLOCK; i++) {
        for (int k = 0; k < BLOCK; k++)
            block[k] = (char)((state = state * 1664525u + 1013904223u) >> 24);
        must(write(fd, block, BLOCK), "write");
    }
    must(fsync(fd), "fsync");
    return 0;
}

static void mount_volume(const char *folder)
{
    mkdir("/dev", 0755);
    if (mount("dev", "/dev", "devtmpfs", 0, NULL) && errno != EBUSY)
        die("/dev");
    mkdir(folder, 0755);
    begin("mount", 1);
    must(mount("/dev/vda", folder, "ext4", MS_NOATIME, NULL), folder);
    end("mount", 1);
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return argc <= 2;
}

int main(int argc, char **argv)
{
    bool is_init = argc > 1 && !strcmp(argv[1], "reboot");
    bool makes = argc > 1 && !strcmp(argv[1], "make");
    const char *folder = is_init || argc < 2 ? "/volume" : argv[makes ? 2 : 1];

    if (is_init)
        mount_volume(folder);
    must(chdir(folder), folder);
    if (makes)
        return make();
    set_up();
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        const struct op *op = &ops[i];
        if (!is_wanted(op->name, argc, argv))
            continue;
        if (op->sqlite_mode)
            set_up_sqlite(op->sqlite_mode);
        if (op->run != op_map_fault && (op->rounds <= 1000 || op->run == op_readdir))
            op->run(op->run == op_readdir ? op->rounds : op->rounds / 10 + 1);
        for (int k = 0; k < op->measures; k++) {
            if (op->run == op_map_fault)
                map(op->rounds);
            begin(op->name, op->rounds);
            op->run(op->rounds);
            end(op->name, op->rounds);
            if (op->run == op_map_fault)
                unmap(op->rounds);
        }
    }
    sqlite3_close(db);
    puts("done");
    fflush(stdout);
    sync();
    if (is_init) {
        must(chdir("/"), "/");
        close(cached);
        close(direct);
        umount(folder);
        reboot(RB_AUTOBOOT);
    }
    return 0;
}
