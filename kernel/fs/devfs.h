/* /dev. */
#pragma once

/** Make the file system "devtmpfs" known. At start. */
void devfs_register(void);
