/* The copy of a kernel file at its place: a small one made here, and broken ones. */
#include "abi/hosted.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "unit/test.h"
#include "vm/kernel_copy.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

enum { BASE = 0x100000, WORDS = 80, RELR = 0x300, FIRST = 0x400 };

/* One segment, all of the file; words of it hold addresses: the first, the second, the 66th. */
struct small_kernel {
    Elf64_Ehdr h;
    Elf64_Phdr p[2];
    u8 pad[0x200 - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr)];
    Elf64_Dyn dynamic[3];
    u8 pad2[RELR - 0x200 - 3 * sizeof(Elf64_Dyn)];
    u64 relr[3];
    u8 pad3[FIRST - RELR - 3 * sizeof(u64)];
    u64 words[WORDS];
};

static struct small_kernel small(void)
{
    struct small_kernel k = {
        .h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64},
              .e_machine = EM_X86_64,
              .e_phoff = sizeof(Elf64_Ehdr),
              .e_phnum = 2,
              .e_phentsize = sizeof(Elf64_Phdr)},
        .p = {{.p_type = PT_LOAD,
               .p_flags = PF_R,
               .p_vaddr = BASE,
               .p_filesz = sizeof(k),
               .p_memsz = 3 * 4096},
              {.p_type = PT_DYNAMIC, .p_vaddr = BASE + 0x200, .p_filesz = sizeof(k.dynamic)}},
        .dynamic = {{.d_tag = 36, .d_un.d_ptr = BASE + RELR},
                    {.d_tag = 35, .d_un.d_val = sizeof(k.relr)}},
        .relr = {BASE + FIRST, 1 | 1 << 1, 1 | 1 << 2},
    };
    for (u32 i = 0; i < WORDS; i++)
        k.words[i] = BASE + i;
    return k;
}

static char *folder; /* for this test alone */

static int copy_of(const void *bytes, size_t len)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/file", folder);
    int fd CLEANUP(fd_close) = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, "a file");
    return kernel_copy_open(path);
}

static void set_up(void)
{
    folder = fs_tmpdir(NULL, NULL);
    REQUIRE(folder, "a folder");
    setenv("XDG_RUNTIME_DIR", folder, 1);
}

TEST(kernel_copy_has_true_addresses_at_one_place)
{
    struct small_kernel k = small(), copy;

    set_up();
    int fd CLEANUP(fd_close) = copy_of(&k, sizeof(k));
    REQUIRE(fd >= 0 && pread(fd, &copy, sizeof(copy), 0) == (ssize_t)sizeof(copy), "a copy");
    u64 base = copy.p[0].p_vaddr;
    EXPECT_EQ((base + HOSTED_KERNEL_ALIGN - hosted_memory_at(0)) % HOSTED_PLACE_ALIGN, 0,
              "memory begins where it ends");
    EXPECT_EQ(base >= hosted_memory_at(0) - HOSTED_KERNEL_ALIGN, 1, "in our zone");
    for (u32 i = 0; i < WORDS; i++) {
        bool moved = i == 0 || i == 1 || i == 65;
        EXPECT_EQ(copy.words[i], (moved ? base : BASE) + i, "a word");
    }
    fs_tmpdir_remove(&folder);
}

TEST(kernel_copy_is_made_once)
{
    struct small_kernel k = small(), copy[2];
    char path[256];

    set_up();
    int first CLEANUP(fd_close) = copy_of(&k, sizeof(k));
    snprintf(path, sizeof(path), "%s/file", folder);
    int second CLEANUP(fd_close) = kernel_copy_open(path);
    REQUIRE(pread(first, &copy[0], sizeof(k), 0) == (ssize_t)sizeof(k) &&
                pread(second, &copy[1], sizeof(k), 0) == (ssize_t)sizeof(k),
            "two copies");
    EXPECT_EQ(copy[0].p[0].p_vaddr, copy[1].p[0].p_vaddr, "one place");
    fs_tmpdir_remove(&folder);
}

static void expect_none(const struct small_kernel *k, size_t len, const char *why)
{
    int fd CLEANUP(fd_close) = copy_of(k, len);

    EXPECT_EQ(fd, -1, why);
}

TEST(kernel_copy_of_a_broken_file_is_none)
{
    struct small_kernel k = small();

    set_up();
    expect_none(&k, 100, "no header");
    expect_none(&k, sizeof(k) - 8, "cut off");
    k.relr[0] = BASE + sizeof(k);
    expect_none(&k, sizeof(k), "a word behind the end");
    k = small(), k.dynamic[1].d_un.d_val = UINT64_MAX - 7;
    expect_none(&k, sizeof(k), "a table without end");
    k = small(), k.p[0].p_offset = UINT64_MAX - 8;
    expect_none(&k, sizeof(k), "an offset that wraps");
    k = small(), k.p[0].p_vaddr = 0;
    expect_none(&k, sizeof(k), "below its place");
    k = small(), k.h.e_phoff = UINT64_MAX - 7;
    expect_none(&k, sizeof(k), "segments that wrap");
    k = small(), k.p[1].p_type = PT_NOTE;
    expect_none(&k, sizeof(k), "no dynamic part");
    fs_tmpdir_remove(&folder);
}
