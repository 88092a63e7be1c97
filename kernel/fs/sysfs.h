/* /sys. */
#pragma once

/** Make the file systems "sysfs" and "cgroup2" known. At start. */
void sysfs_register(void);
