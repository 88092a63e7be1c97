#include "unit/test.h"

#include "plat/pc/acpi.h"

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
