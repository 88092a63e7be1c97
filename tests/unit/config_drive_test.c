/* Partition tables, FAT and ISO 9660, whole and damaged, over images that other programs make. */
#include "fs/config_drive.h"

#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "fs/partition.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_DISKS = 140 };

static u8 *image;
static struct block_dev whole, *disks[MAX_DISKS];
static u32 nr_disks;
u64 direct_map_base;

void log_print(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

static void submit(struct block_dev *bd, struct block_request *request)
{
    (void)bd;
    (void)request;
}

static const struct block_ops ops = {.submit = submit};

int block_read(struct block_dev *bd, u64 sector, void *buf, size_t count)
{
    if (sector > bd->sectors || count > bd->sectors - sector)
        return -EINVAL;
    if (bd == &whole)
        memcpy(buf, image + sector * SECTOR_SIZE, count * SECTOR_SIZE);
    else
        memset(buf, 0, count * SECTOR_SIZE);
    return 0;
}

int block_add(struct block_dev *bd)
{
    if (nr_disks == MAX_DISKS)
        return -EEXIST;
    disks[nr_disks++] = bd;
    return 0;
}

struct block_dev *block_find(const char *name)
{
    for (u32 i = 0; i < nr_disks; i++)
        if (!strcmp(disks[i]->name, name + (strncmp(name, "/dev/", 5) ? 0 : 5)))
            return disks[i];
    return NULL;
}

int block_for_each(int (*fn)(struct block_dev *bd, void *arg), void *arg)
{
    for (u32 i = 0; i < nr_disks; i++) {
        int stop = fn(disks[i], arg);
        if (stop)
            return stop;
    }
    return 0;
}

/* What the shell command makes of the file $F; false: a program is missing. */
static bool make(const char *command)
{
    char path[] = "/tmp/ingot-drive-XXXXXX", line[600];
    int fd = mkstemp(path);

    snprintf(line, sizeof(line), "F=%s; PATH=$PATH:/sbin:/usr/sbin; { %s; } >/dev/null 2>&1", path,
             command);
    bool good = !system(line);
    off_t size = lseek(fd, 0, SEEK_END);
    image = calloc(1, (size_t)size + 1);
    good = good && pread(fd, image, (size_t)size, 0) == size;
    close(fd);
    unlink(path);
    whole = (struct block_dev){.name = "vda", .ops = &ops, .sectors = (u64)size / SECTOR_SIZE};
    disks[0] = &whole;
    nr_disks = 1;
    return good;
}

static void expect_user_data(enum config_drive_kind kind, const char *path)
{
    struct config_drive drive = config_drive_find();
    size_t len = 0;

    EXPECT_EQ(drive.kind, kind, "what it is");
    char *text = drive.bd ? config_drive_read(&drive, path, &len) : NULL;
    EXPECT_TRUE(text && !strcmp(text, "hello\n"), "what it says");
    EXPECT_EQ(len, 6, NULL);
    free(text);
    if (drive.bd)
        EXPECT_TRUE(!config_drive_read(&drive, "no/such", &len), "what is not there");
}

/* Bits flipped at random in the first @reach bytes, each time in a child of its own; whatever comes
 * of it, memory is not. */
static void damage(u32 reach, u32 rounds)
{
    for (u32 round = 0; round < rounds; round++) {
        pid_t child = fork();
        if (!child) {
            size_t len;
            srand(round);
            for (int n = 1 + rand() % 40; n; n--)
                image[(u32)rand() % reach] ^= (u8)(1 << rand() % 8);
            struct config_drive drive = config_drive_find();
            drive.bd = &whole;
            drive.iso = round % 2;
            free(config_drive_read(&drive, "user-data", &len));
            drive.iso = !drive.iso;
            free(config_drive_read(&drive, "user-data", &len));
            (void)partition_find("PARTLABEL=none");
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        if (status) {
            fprintf(stderr, "round %u: status %#x\n", round, (unsigned)status);
            EXPECT_EQ(status, 0, "a child died");
            return;
        }
    }
}

TEST(fat_drives_are_read)
{
    if (!make("truncate -s 2M $F && mkfs.vfat -F 12 -n cidata $F && printf 'hello\\n' | mcopy -i "
              "$F - "
              "::user-data"))
        return; /* without the programs there is nothing to read */
    expect_user_data(CONFIG_DRIVE_NOCLOUD, "user-data");
    damage(32768, 300);
}

TEST(iso_drives_are_read)
{
    if (!make("D=$(mktemp -d) && mkdir -p $D/openstack/latest && printf 'hello\\n' > "
              "$D/openstack/latest/user_data && xorriso -as mkisofs -J -r -V config-2 -o $F $D; rm "
              "-r $D"))
        return;
    expect_user_data(CONFIG_DRIVE_OPENSTACK, "openstack/latest/user_data");
    damage(131072, 300);
}

TEST(gpt_is_read_and_damage_survived)
{
    if (!make(
            "truncate -s 4M $F && sgdisk -n 1:2048:3071 -c 1:first -n 2:4096:5119 -c 2:second $F"))
        return;
    damage(20480, 200);
    struct block_dev *bd = partition_find("PARTLABEL=second");
    EXPECT_TRUE(bd && bd->sectors == 1024, "by its label");
    EXPECT_TRUE(bd && bd == partition_find("/dev/vda2"), "by its number");
    EXPECT_TRUE(!partition_find("/dev/vda3"), "no third");
}

TEST(mbr_with_a_loop_of_logical_partitions_ends)
{
    if (!make(
            "truncate -s 4M $F && printf 'label: dos\\nstart=2048, size=4096, type=5\\nstart=3072, "
            "size=1024, type=83\\n' | sfdisk $F"))
        return;
    u8 *extended = image + 2048 * 512;
    memcpy(extended + 446 + 16, "\0\0\0\0\x05\0\0\0\x01\0\0\0\x10\0\0\0", 16);
    memcpy(extended + 512, extended, 512); /* a second table that names itself */
    EXPECT_TRUE(partition_find("/dev/vda5") != NULL, "the first logical one");
    EXPECT_TRUE(nr_disks < MAX_DISKS, "no end of them");
}
