/* What describes a machine to a hypervisor, in its own words. */
#pragma once

#include "lib/buf.h"
#include "lib/types.h"

/** A libvirt domain with @disk, an absolute path of a qcow2 file. */
void machine_libvirt(struct buf *out, const char *name, u64 memory, const char *disk);

/** A Firecracker configuration file beside `vmlinux` and `initrd`. */
void machine_firecracker(struct buf *out, const char *cmdline, u64 memory);

/** An OVF 1.0 envelope for the stream-optimised @vmdk of @vmdk_size bytes. */
void machine_ovf(struct buf *out, const char *name, u64 memory, const char *vmdk, u64 vmdk_size,
                 u64 disk_size);
