/* The two things we need of AML: the package \_S5_, `Name (_S5_, Package () {SLP_TYPa, ...})`
 * (ACPI 6.5, 7.4.2.6 and 20.2), and where devices of a kind lie (6.4.3.4, 6.4.3.6). */
#include "lib/string.h"
#include "plat/pc/acpi.h"
#include "plat/plat.h"

enum {
    AML_ZERO = 0x00,
    AML_ONE = 0x01,
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_DWORD = 0x0c,
    AML_QWORD = 0x0e,
    AML_PACKAGE = 0x12,
    AML_EXTENDED = 0x5b,
    AML_REGION = 0x80,
};

/* Resource descriptors: a tag, a length of two bytes, then that many bytes. */
enum {
    RESOURCE_MEMORY32_FIXED = 0x86,
    MEMORY32_FIXED_BYTES = 9,
    RESOURCE_DWORD_SPACE = 0x87, /* 6.4.3.5.2: type, flags, flags, then five words */
    DWORD_SPACE_BYTES = 23,
    RESOURCE_INTERRUPT = 0x89,
    INTERRUPT_BYTES = 6, /* with one interrupt */
    CRS_REACH = 128,     /* how far behind the _HID the descriptors are looked for */
    REGION_REACH = 256,  /* and the region */
    CBA_REACH = 4,       /* how far behind its name what _CBA returns is looked for */
    REGION_BYTES = 7,    /* opcode, name, space: then the address */
};

/* @p is behind the name. */
static int read_s5_package(const u8 *p, u32 left)
{
    if (left < 6 || p[0] != AML_PACKAGE)
        return -1;
    u32 length_bytes = 1 + (p[1] >> 6); /* PkgLength */
    u32 at = 1 + length_bytes + 1;      /* and NumElements */
    if (at + 2 > left)
        return -1;
    if (p[at] == AML_BYTE)
        return p[at + 1] & 7;
    return p[at] == AML_ZERO || p[at] == AML_ONE ? p[at] : -1;
}

int acpi_find_s5(const u8 *aml, u32 len)
{
    for (u32 i = 1; i + 4 <= len; i++) {
        if (memcmp(aml + i, "_S5_", 4))
            continue;
        if (aml[i - 1] != AML_NAME && aml[i - 1] != '\\')
            continue;
        int type = read_s5_package(aml + i + 4, len - i - 4);
        if (type >= 0)
            return type;
    }
    return -1;
}

static u32 read_u32(const u8 *p)
{
    u32 value;

    memcpy(&value, p, sizeof(value));
    return value;
}

/* The descriptor @tag of exactly @bytes in [@p, +@len); its body, or NULL. */
static const u8 *find_descriptor(const u8 *p, u32 len, u8 tag, u8 bytes)
{
    for (u32 i = 0; i + 3 + bytes <= len; i++) {
        if (p[i] == tag && p[i + 1] == bytes && p[i + 2] == 0)
            return p + i + 3;
    }
    return NULL;
}

u32 acpi_find_devices(const u8 *aml, u32 len, const char *hid, struct plat_device *out, u32 max)
{
    u32 hid_len = (u32)strlen(hid), found = 0;

    for (u32 i = 0; i + hid_len <= len && found < max; i++) {
        if (memcmp(aml + i, hid, hid_len))
            continue;
        const u8 *crs = aml + i + hid_len;
        u32 reach = min(len - i - hid_len, (u32)CRS_REACH);
        const u8 *memory =
            find_descriptor(crs, reach, RESOURCE_MEMORY32_FIXED, MEMORY32_FIXED_BYTES);
        const u8 *interrupt = find_descriptor(crs, reach, RESOURCE_INTERRUPT, INTERRUPT_BYTES);
        if (!memory || !interrupt)
            continue;
        out[found++] = (struct plat_device){.base = read_u32(memory + 1),
                                            .len = read_u32(memory + 5),
                                            .gsi = read_u32(interrupt + 2)};
    }
    return found;
}

/* The address of the first region of memory in [@p, +@len), 0: there is none (20.2.5.2). */
static u64 find_region(const u8 *p, u32 len)
{
    for (u32 i = 0; i + REGION_BYTES + 1 + sizeof(u64) <= len; i++) {
        const u8 *address = p + i + REGION_BYTES;
        if (p[i] != AML_EXTENDED || p[i + 1] != AML_REGION || p[i + 6] != 0)
            continue;
        if (*address == AML_DWORD)
            return read_u32(address + 1);
        if (*address == AML_QWORD)
            return read_u32(address + 1) | (u64)read_u32(address + 5) << 32;
    }
    return 0;
}

bool acpi_find_event_device(const u8 *aml, u32 len, u64 *pa, u32 *gsi)
{
    static const char hid[] = "ACPI0013";
    u32 hid_len = sizeof(hid) - 1;

    for (u32 i = 0; i + hid_len <= len; i++) {
        if (memcmp(aml + i, hid, hid_len))
            continue;
        const u8 *rest = aml + i + hid_len;
        u32 left = len - i - hid_len;
        const u8 *interrupt =
            find_descriptor(rest, min(left, (u32)CRS_REACH), RESOURCE_INTERRUPT, INTERRUPT_BYTES);
        *pa = find_region(rest, min(left, (u32)REGION_REACH));
        if (!interrupt || !*pa)
            return false;
        *gsi = read_u32(interrupt + 2);
        return true;
    }
    return false;
}

bool acpi_find_pci_window(const u8 *aml, u32 len, u64 *base, u64 *bytes)
{
    *bytes = 0;
    for (u32 at = 0; at < len;) {
        const u8 *d = find_descriptor(aml + at, len - at, RESOURCE_DWORD_SPACE, DWORD_SPACE_BYTES);
        if (!d)
            break;
        u64 first = read_u32(d + 7), n = read_u32(d + 19);
        bool memory = d[0] == 0 && (u64)read_u32(d + 11) - first + 1 == n;
        if (memory && n > *bytes) {
            *base = first;
            *bytes = n;
        }
        at = (u32)(d - aml);
    }
    return *bytes != 0;
}

u64 acpi_find_ecam(const u8 *aml, u32 len)
{
    for (u32 i = 0; i + 4 + CBA_REACH + sizeof(u64) <= len; i++) {
        if (memcmp(aml + i, "_CBA", 4))
            continue;
        for (const u8 *p = aml + i + 4; p < aml + i + 4 + CBA_REACH; p++) {
            if (*p == AML_DWORD)
                return read_u32(p + 1);
            if (*p == AML_QWORD)
                return read_u32(p + 1) | (u64)read_u32(p + 5) << 32;
        }
    }
    return 0;
}
