/* Names for addresses, from an ELF file that may be anything: this test's own, and broken ones. */
#include "unit/test.h"
#include "vm/symbols.h"

#include <elf.h>
#include <unistd.h>

__attribute__((noinline)) static int named_function(int x)
{
    return x * 3;
}

static u64 own_base(void)
{
    extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));

    return (u64)(uintptr_t)&__ehdr_start;
}

static void load_bytes(struct symbols *symbols, const void *bytes, size_t len)
{
    char path[] = "/tmp/symbols-test-XXXXXX";
    int fd = mkstemp(path);

    REQUIRE(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, "a file");
    close(fd);
    symbols_load(symbols, path);
    unlink(path);
}

TEST(symbols_annotate_names_every_address_of_a_line)
{
    struct symbols symbols;
    char line[128], want[256], out[256];
    u64 offset = (u64)(uintptr_t)named_function - own_base();

    symbols_load(&symbols, "/proc/self/exe");
    REQUIRE(symbols.len > 0, "this program has symbols");
    snprintf(line, sizeof(line), "#1 kernel+0x%llx and kernel+0x0", (unsigned long long)offset);
    snprintf(want, sizeof(want), "#1 kernel+0x%llx (named_function+0x0) and kernel+0x0",
             (unsigned long long)offset);
    symbols_annotate(&symbols, line, out, sizeof(out));
    EXPECT_STR(out, want, NULL);
    EXPECT_EQ(named_function(1), 3, "it is used");
    symbols_fini(&symbols);
}

TEST(symbols_annotate_without_symbols_copies)
{
    struct symbols symbols = {0};
    char out[16];

    symbols_annotate(&symbols, "kernel+0x12 kernel+0x", out, sizeof(out));
    EXPECT_STR(out, "kernel+0x12 ker", "cut to the room there is");
}

TEST(symbols_load_survives_broken_files)
{
    struct symbols symbols;
    u8 bytes[4096];

    symbols_load(&symbols, "/nonexistent");
    EXPECT_EQ(symbols.len, 0, NULL);
    load_bytes(&symbols, "", 0);
    symbols_fini(&symbols);
    FILE *self = fopen("/proc/self/exe", "r");
    REQUIRE(self && fread(bytes, sizeof(bytes), 1, self) == 1, "this program");
    fclose(self);
    load_bytes(&symbols, bytes, sizeof(bytes)); /* all tables lie behind the end */
    EXPECT_EQ(symbols.len, 0, NULL);
    symbols_fini(&symbols);
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)bytes;
    u32 random = 1;
    for (int round = 0; round < 400; round++) {
        header->e_shoff = sizeof(*header);
        header->e_shnum = 8;
        for (size_t i = sizeof(*header); i < sizeof(bytes); i++)
            bytes[i] = i % 4 ? 0 : (u8)((random = random * 1103515245 + 12345) >> 16);
        load_bytes(&symbols, bytes, sizeof(bytes));
        symbols_fini(&symbols);
    }
}
