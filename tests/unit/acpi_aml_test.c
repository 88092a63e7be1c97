#include "unit/test.h"

#include "plat/pc/acpi.h"
#include "plat/plat.h"

TEST(acpi_s5_is_found_in_its_forms)
{
    static const u8 byte[] = {0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x0a, 5, 0, 0, 0};
    static const u8 zero[] = {0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0, 0, 0, 0, 0};
    static const u8 rooted[] = {0x08, '\\', '_', 'S', '5', '_', 0x12, 0x06, 0x04, 1, 0, 0, 0};

    EXPECT_EQ(acpi_find_s5(byte, sizeof(byte)), 5, NULL);
    EXPECT_EQ(acpi_find_s5(zero, sizeof(zero)), 0, NULL);
    EXPECT_EQ(acpi_find_s5(rooted, sizeof(rooted)), 1, NULL);
}

TEST(acpi_s5_is_refused_where_it_is_cut_off)
{
    static const u8 name[] = {0x08, '_', 'S', '5', '_'};
    static const u8 no_package[] = {0x08, '_', 'S', '5', '_', 0x11, 0x06, 0x04, 0x0a, 5, 0};
    static const u8 long_length[] = {0x08, '_', 'S', '5', '_', 0x12, 0xc6, 0, 0, 0, 4, 0x0a};

    EXPECT_EQ(acpi_find_s5(name, sizeof(name)), -1, NULL);
    EXPECT_EQ(acpi_find_s5(no_package, sizeof(no_package)), -1, NULL);
    EXPECT_EQ(acpi_find_s5(long_length, sizeof(long_length)), -1, NULL);
    EXPECT_EQ(acpi_find_s5(NULL, 0), -1, NULL);
}

TEST(acpi_find_devices_reads_memory_and_interrupt_behind_the_name)
{
    static const u8 aml[] = {'x',  'L',  'N', 'R', 'O', '0',  '0',  '0',  '5', 0, 0x11,
                             0x86, 9,    0,   1,   0,   0x2e, 0xb0, 0xfe, 0,   2, 0,
                             0,    0x89, 6,   0,   1,   1,    23,   0,    0,   0};
    struct plat_device device[2];

    EXPECT_EQ(acpi_find_devices(aml, sizeof(aml), "LNRO0005", device, 2), 1, NULL);
    EXPECT_EQ(device[0].base, 0xfeb02e00, NULL);
    EXPECT_EQ(device[0].len, 512, NULL);
    EXPECT_EQ(device[0].gsi, 23, NULL);
    EXPECT_EQ(acpi_find_devices(aml, sizeof(aml), "LNRO0005", device, 0), 0, "no room");
    for (u32 len = 0; len < sizeof(aml); len++)
        EXPECT_EQ(acpi_find_devices(aml, len, "LNRO0005", device, 2), 0, "cut short");
}

TEST(acpi_event_device_needs_its_interrupt_and_region)
{
    u8 aml[96] = "xACPI0013";
    u64 pa;
    u32 gsi;

    EXPECT_EQ(acpi_find_event_device(aml, sizeof(aml), &pa, &gsi), false, "a name alone");
    memcpy(aml + 20, "\x89\x06\x00\x03\x01\x09\x00\x00\x00", 9);
    EXPECT_EQ(acpi_find_event_device(aml, sizeof(aml), &pa, &gsi), false, "no region");
    memcpy(aml + 40,
           "\x5b\x80"
           "EREG\x00\x0c\x00\x00\xea\xfe",
           12);
    EXPECT_EQ(acpi_find_event_device(aml, sizeof(aml), &pa, &gsi), true, "both");
    EXPECT_EQ(pa, 0xfeea0000, "its address");
    EXPECT_EQ(gsi, 9, "its interrupt");
    EXPECT_EQ(acpi_find_event_device(aml, 50, &pa, &gsi), false, "cut off");
}

TEST(acpi_pci_window_and_ecam_are_found)
{
    u8 aml[96] = "x_CBA\x00\xa4\x0c\x00\x00\x00\xe0";
    u64 base, bytes;

    EXPECT_EQ(acpi_find_ecam(aml, sizeof(aml)), 0xe0000000, "a method that returns it");
    EXPECT_EQ(acpi_find_ecam(aml, 12), 0, "cut off");
    memcpy(aml + 40,
           "\x87\x17\x00\x00\x0c\x03\x00\x00\x00\x00\x00\x00\x00\xc0\xff\xff\xff\xdf"
           "\x00\x00\x00\x00\x00\x00\x00\x20",
           26);
    EXPECT_EQ(acpi_find_pci_window(aml, sizeof(aml), &base, &bytes), true, "memory");
    EXPECT_EQ(base, 0xc0000000, "where it begins");
    EXPECT_EQ(bytes, 0x20000000, "how long it is");
    aml[43] = 1;
    EXPECT_EQ(acpi_find_pci_window(aml, sizeof(aml), &base, &bytes), false, "ports");
}
