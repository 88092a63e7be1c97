#include "fs/config_drive.h"

#include "block/block.h"
#include "fs/partition.h"
#include "lib/string.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool config_name_matches(const char *a, size_t len, const char *path)
{
    size_t i = 0;

    for (; i < len && path[i] && path[i] != '/'; i++)
        if (lower(a[i]) != lower(path[i]))
            return false;
    return i == len && (!path[i] || path[i] == '/');
}

const char *config_path_rest(const char *path)
{
    const char *slash = strchr(path, '/');

    return slash ? slash + 1 : NULL;
}

static enum config_drive_kind kind_of(const char *label)
{
    if (config_name_matches(label, strlen(label), "cidata"))
        return CONFIG_DRIVE_NOCLOUD;
    if (config_name_matches(label, strlen(label), "config-2"))
        return CONFIG_DRIVE_OPENSTACK;
    return CONFIG_DRIVE_NONE;
}

static int look(struct block_dev *bd, void *arg)
{
    struct config_drive *drive = arg;
    char label[12];

    drive->iso = iso_read_label(bd, label);
    if (!drive->iso && !fat_read_label(bd, label))
        return 0;
    drive->bd = bd;
    drive->kind = kind_of(label);
    return drive->kind != CONFIG_DRIVE_NONE;
}

struct config_drive config_drive_find(void)
{
    struct config_drive drive = {.kind = CONFIG_DRIVE_NONE};

    partition_scan_all();
    block_for_each(look, &drive);
    return drive;
}

char *config_drive_read(const struct config_drive *drive, const char *path, size_t *len)
{
    return drive->iso ? iso_read_file(drive->bd, path, len) : fat_read_file(drive->bd, path, len);
}
