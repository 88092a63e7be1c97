/* The one thing we need of AML: the package \_S5_, `Name (_S5_, Package () {SLP_TYPa, ...})`
 * (ACPI 6.5, 7.4.2.6 and 20.2). */
#include "lib/string.h"
#include "plat/pc/acpi.h"

enum {
    AML_ZERO = 0x00,
    AML_ONE = 0x01,
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_PACKAGE = 0x12,
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
