/* /proc/diskstats and /proc/partitions: fields as Documentation/admin-guide/iostats.rst has them;
 * times and merges are not counted. */
#include "abi/stat.h"
#include "block/block.h"
#include "fs/proc.h"

static unsigned long requests(const struct block_dev *bd, enum block_op op)
{
    return __atomic_load_n(&bd->counts[op].requests, __ATOMIC_RELAXED);
}

static unsigned long sectors(const struct block_dev *bd, enum block_op op)
{
    return __atomic_load_n(&bd->counts[op].bytes, __ATOMIC_RELAXED) / SECTOR_SIZE;
}

static int add_stats(struct block_dev *bd, void *out)
{
    text_add(out, "%4u %7u %s %lu 0 %lu 0 %lu 0 %lu 0 0 0 0 %lu 0 %lu 0 %lu 0\n",
             dev_major(bd->dev), dev_minor(bd->dev), bd->name, requests(bd, BLOCK_READ),
             sectors(bd, BLOCK_READ), requests(bd, BLOCK_WRITE), sectors(bd, BLOCK_WRITE),
             requests(bd, BLOCK_DISCARD), sectors(bd, BLOCK_DISCARD), requests(bd, BLOCK_FLUSH));
    return 0;
}

int proc_show_diskstats(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    return block_for_each(add_stats, out);
}

static int add_partition(struct block_dev *bd, void *out)
{
    text_add(out, "%4u  %7u %10lu %s\n", dev_major(bd->dev), dev_minor(bd->dev),
             (unsigned long)(bd->sectors / 2), bd->name);
    return 0;
}

int proc_show_partitions(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "major minor  #blocks  name\n\n");
    return block_for_each(add_partition, out);
}
