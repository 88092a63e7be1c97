/* What a PVH loader hands over (Xen public/arch-x86/hvm/start_info.h). */
#pragma once

#include "lib/types.h"

enum {
    HVM_START_MAGIC = 0x336ec578,
    HVM_MEMMAP_RAM = 1,
};

struct hvm_start_info {
    u32 magic;
    u32 version;
    u32 flags;
    u32 nr_modules;
    u64 modlist_paddr;
    u64 cmdline_paddr;
    u64 rsdp_paddr;
    u64 memmap_paddr; /* version 1 and later */
    u32 memmap_entries;
    u32 reserved;
};

struct hvm_modlist_entry {
    u64 paddr;
    u64 size;
    u64 cmdline_paddr;
    u64 reserved;
};

struct hvm_memmap_entry {
    u64 addr;
    u64 size;
    u32 type;
    u32 reserved;
};

static_assert(sizeof(struct hvm_start_info) == 56, "Xen ABI");
static_assert(sizeof(struct hvm_modlist_entry) == 32, "Xen ABI");
static_assert(sizeof(struct hvm_memmap_entry) == 24, "Xen ABI");
