/* What mm needs to give a program its vDSO: the image, and the page it reads the time from.
 * Both are whole pages of the kernel image.  The data page is mapped read-only right before the
 * image's first page, the image read and execute. */
#pragma once

#include "abi/patch.h"
#include "abi/vdso_data.h"

union vdso_page {
    struct vdso_data data;
    struct {
        u8 before[GATE_ADDR % 4096];
        void *entry; /* see abi/patch.h */
        u64 reserved;
        struct cpuid_table cpuids;
    } gate;
    u8 bytes[4096];
};
static_assert(sizeof(union vdso_page) == 4096 &&
                  offsetof(union vdso_page, gate.cpuids) == CPUID_TABLE_ADDR % 4096,
              "abi/patch.h tells programs");
extern union vdso_page vdso_page;
#define vdso_data (vdso_page.data)

/** A complete ELF shared object; page-aligned, of whole pages. */
extern const char vdso_image_start[], vdso_image_end[];
