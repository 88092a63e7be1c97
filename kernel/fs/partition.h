/* Partitions of disks, and names for disks that do not depend on the order in which they are found.
 * The tables are read when a name is asked for that no disk has, so a start from a whole disk does
 * not pay for them.  GPT: UEFI 2.10, 5.3; MBR with logical partitions: what DOS left us. */
#pragma once

struct block_dev;

/**
 * The disk or partition that @spec names: "/dev/vda", "vda1", "nvme0n1p2", "PARTUUID=",
 * "PARTLABEL=" (GPT), "LABEL=" and "UUID=" (of the EROFS or ext4 on it).  NULL: there is none. The
 * first use reads the tables; thread context, sleeps.
 */
struct block_dev *partition_find(const char *spec);

/** Read the tables of all disks, if that has not been done. */
void partition_scan_all(void);
