/* ATA commands, and what IDENTIFY DEVICE tells: ATA/ATAPI-8 ACS.  For AHCI and IDE. */
#pragma once

#include "lib/string.h"
#include "lib/types.h"

enum ata_command {
    ATA_READ_DMA = 0xc8,
    ATA_READ_DMA_EXT = 0x25,
    ATA_WRITE_DMA = 0xca,
    ATA_WRITE_DMA_EXT = 0x35,
    ATA_FLUSH = 0xe7,
    ATA_FLUSH_EXT = 0xea,
    ATA_PACKET = 0xa0,
    ATA_IDENTIFY = 0xec,
};

enum ata_status { ATA_ERR = 1, ATA_DRQ = 8, ATA_DF = 0x20, ATA_BSY = 0x80 };
enum { ATA_LBA = 0x40 }; /* in the device register */

/** Sectors of 512 bytes by the words of IDENTIFY DEVICE; 0: a device without LBA, or with others.
 */
static inline u64 ata_sectors(const u16 *id, bool *lba48)
{
    u64 sectors = 0;

    *lba48 = (id[83] & 0xc400) == 0x4400;
    if (!(id[49] & 1 << 9)) /* LBA */
        return 0;
    if ((id[106] & 0xd000) == 0x5000) /* valid, and logical sectors longer than 512 bytes */
        return 0;
    if (*lba48)
        memcpy(&sectors, id + 100, sizeof(sectors));
    else
        memcpy(&sectors, id + 60, sizeof(u32));
    return sectors;
}
