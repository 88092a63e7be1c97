/* The patcher on code made for it, and on the libraries of this machine. */
#include "image/elf_file.h"
#include "image/patch/cpuid_stub.h"
#include "image/patch/patch.h"
#include "image/patch/start.h"
#include "lib/cleanup.h"
#include "lib/patch.h"
#include "unit/test.h"

#include <elf.h>
#include <errno.h>
#include <sys/mman.h>

enum { CODE = 0x1000, DATA = 0x2000, SYMBOLS = 0x3000, SIZE = 0x4000 };

/* A library with one page of code, which is one function, one page of data, and a symbol table. */
static u8 file[SIZE];

static void make_file(const char *code, size_t len)
{
    Elf64_Ehdr *h = (Elf64_Ehdr *)file;
    Elf64_Phdr *p = (Elf64_Phdr *)(file + sizeof(*h));
    Elf64_Sym *sym = (Elf64_Sym *)(file + SYMBOLS);
    Elf64_Shdr *sections = (Elf64_Shdr *)(file + SYMBOLS + 0x100);

    memset(file, 0, sizeof(file));
    memcpy(h->e_ident, ELFMAG, SELFMAG);
    h->e_ident[EI_CLASS] = ELFCLASS64;
    h->e_ident[EI_DATA] = ELFDATA2LSB;
    h->e_type = ET_DYN;
    h->e_machine = EM_X86_64;
    h->e_phoff = sizeof(*h);
    h->e_phentsize = sizeof(*p);
    h->e_phnum = 2;
    h->e_shoff = SYMBOLS + 0x100;
    h->e_shentsize = sizeof(*sections);
    h->e_shnum = 2;
    p[0] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, CODE, CODE, CODE, 0x1000, 0x1000, 0x1000};
    p[1] = (Elf64_Phdr){PT_LOAD, PF_R, DATA, DATA, DATA, 0x1000, 0x1000, 0x1000};
    memcpy(file + CODE, code, len);
    sym[1] = (Elf64_Sym){.st_info = STT_FUNC, .st_shndx = 1, .st_value = CODE, .st_size = len};
    sections[1] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                               .sh_offset = SYMBOLS,
                               .sh_size = 2 * sizeof(*sym),
                               .sh_entsize = sizeof(*sym)};
}

/* The patch of the file; its only page of code, as the program will see it, or NULL. */
static const u8 *patch(struct buf *out, struct patch_header *h)
{
    struct err err;

    memset(h, 0, sizeof(*h));
    REQUIRE(patch_make("/x", file, sizeof(file), out, &err) == 0, err.text);
    if (!out->len)
        return NULL;
    REQUIRE(patch_check(out->data, out->len, h), NULL);
    return h->nr_pages ? (const u8 *)out->data + h->pages_at : NULL;
}

#define MAKE(code) make_file(code, sizeof(code) - 1)

static s32 word_at(const void *at)
{
    s32 word;

    memcpy(&word, at, sizeof(word));
    return word;
}

TEST(patch_puts_the_jump_over_the_number_and_leaves_the_instruction)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    MAKE("\xb8\x27\0\0\0\x0f\x05\xc3"); /* mov $39, %eax; syscall; ret */
    const u8 *page = patch(&out, &h);
    REQUIRE(page, "a page is patched");
    EXPECT_EQ(h.sites, 1, NULL);
    EXPECT_EQ(h.sites_patched, 1, NULL);
    EXPECT_EQ(h.sites_unknown, 0, NULL);
    EXPECT_EQ(h.calls[0], 1ull << 39, "getpid");
    EXPECT_EQ(page[0], 0xe9, "a jump");
    EXPECT_EQ(CODE + 5 + word_at(page + 1), h.low + h.span, "to the first stub");
    EXPECT_MEM(page + 5, "\x0f\x05\xc3", 3, "whoever jumps behind it still finds the call");
    const u8 *stub = (const u8 *)out.data + h.stubs_at;
    EXPECT_MEM(stub, "\xb8\x27\0\0\0\x48\x8d\x0d", 8, "the number, then the return address");
    EXPECT_EQ(h.low + h.span + 12 + (u64)(s64)word_at(stub + 8), CODE + 7, "behind the syscall");
    EXPECT_MEM(stub + 12, "\xff\x24\x25", 3, "and through the gate");
    EXPECT_EQ(word_at(stub + 15), GATE_ADDR, NULL);
}

TEST(patch_moves_what_is_between_the_number_and_the_call)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    MAKE("\xb8\x01\0\0\0\x48\x89\xdf\x0f\x05\xc3"); /* mov $1, %eax; mov %rbx, %rdi; syscall */
    const u8 *page = patch(&out, &h);
    REQUIRE(page, NULL);
    EXPECT_EQ(page[0], 0xe9, NULL);
    EXPECT_MEM(page + 5, "\x48\x89\xdf\x0f\x05\xc3", 6, "the rest works for who jumps in");
    EXPECT_MEM(out.data + h.stubs_at, "\xb8\x01\0\0\0\x48\x89\xdf", 8, NULL);
    EXPECT_EQ(h.nr_pcs, 3, "three instructions of the stub stand for others");
    EXPECT_EQ(h.nr_backs, 1, "only the first of them is not there any more");
}

/* mov %rdi, %rax; syscall; cmp $-4095, %rax; jae +0; ret */
#define AFTER "\x48\x89\xf8\x0f\x05\x48\x3d\x01\xf0\xff\xff\x73\x00\xc3"

TEST(patch_moves_what_follows_where_nothing_fits_before)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    MAKE(AFTER);
    const u8 *page = patch(&out, &h);
    REQUIRE(page, NULL);
    EXPECT_EQ(h.sites_unknown, 1, "the number comes from the caller");
    EXPECT_MEM(page, "\x48\x89\xf8\xe9", 4, "the jump lies over the call");
    EXPECT_EQ(h.nr_backs, 2, "call and comparison are in the stub only");
    const u8 *stub = (const u8 *)out.data + h.stubs_at;
    EXPECT_EQ(word_at(stub + 3), 9, "RCX: behind the call that a restart needs");
    EXPECT_MEM(stub + 14, "\x0f\x05\x48\x3d\x01\xf0\xff\xff\xe9", 9, NULL);
    EXPECT_EQ(h.low + h.span + 27 + (u64)(s64)word_at(stub + 23), CODE + 11, "and back");
}

TEST(patch_sends_cpuid_to_the_table)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    MAKE("\xb8\x07\0\0\0\x31\xc9\x0f\xa2\xc3"); /* mov $7, %eax; xor %ecx, %ecx; cpuid; ret */
    const u8 *page = patch(&out, &h);
    REQUIRE(page, "a page is patched");
    EXPECT_EQ(h.sites, 0, "it is no call");
    EXPECT_EQ(h.cpuids, 1, NULL);
    EXPECT_EQ(h.cpuids_patched, 1, NULL);
    EXPECT_EQ(page[0], 0xe9, "a jump");
    EXPECT_MEM(page + 5, "\x31\xc9\x0f\xa2\xc3", 5,
               "whoever jumps behind it finds the instruction");
    u64 stubs = h.low + h.span, stub = CODE + 5 + (u64)(s64)word_at(page + 1) - stubs;
    REQUIRE(stub < h.stubs_len, "into the stubs");
    const u8 *at = (const u8 *)out.data + h.stubs_at + stub;
    EXPECT_MEM(at, "\xb8\x07\0\0\0\x31\xc9\x48\x8d\x15", 10, "then the place to go on at");
    EXPECT_EQ(stubs + stub + 14 + (u64)(s64)word_at(at + 10), CODE + 9, "behind the cpuid");
    EXPECT_EQ(at[14], 0xe9, "and to the common code");
    EXPECT_EQ(stub + 19 + (u64)(s64)word_at(at + 15), 0, "which comes first");
}

/* The file with an own `cpuid` at ASKED and room for stubs at ROOM, as lib/cpuid.S has them. */
enum { ASKED = CODE + 0x100, ROOM = CODE + 0x800, ROOM_LEN = 0x200 };

static void make_command(const char *code, size_t len)
{
    static const char names[] = "\0cpuid_asked\0cpuid_room";
    Elf64_Ehdr *h = (Elf64_Ehdr *)file;

    make_file(code, len);
    Elf64_Shdr *sections = (Elf64_Shdr *)(file + h->e_shoff);
    memcpy(file + ASKED, "\xb8\0\0\0\0\x0f\xa2\xc3", 8);
    memcpy(file + SYMBOLS + 0x80, names, sizeof(names));
    h->e_shnum = 5;
    h->e_shstrndx = 2;
    sections[2] =
        (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = SYMBOLS + 0x80, .sh_size = sizeof(names)};
    sections[3] = (Elf64_Shdr){
        .sh_type = SHT_PROGBITS, .sh_name = 1, .sh_addr = ASKED, .sh_offset = ASKED, .sh_size = 8};
    sections[4] = (Elf64_Shdr){.sh_type = SHT_PROGBITS,
                               .sh_name = 13,
                               .sh_addr = ROOM,
                               .sh_offset = ROOM,
                               .sh_size = ROOM_LEN};
}

TEST(start_of_the_command_jumps_instead_of_asking)
{
    struct err err = {0};

    make_command("\xb8\0\0\0\0\x0f\xa2\xb8\x27\0\0\0\x0f\x05\xc3", 15);
    REQUIRE(patch_start(file, sizeof(file), &err) == 0, err.text);
    EXPECT_EQ(file[CODE], 0xe9, "a jump");
    u64 stub = CODE + 5 + (u64)(s64)word_at(file + CODE + 1);
    REQUIRE(stub > ROOM && stub < ROOM + ROOM_LEN, "into the room");
    EXPECT_EQ(file[ROOM], 0x48, "where the answers are");
    EXPECT_MEM(file + CODE + 5, "\x0f\xa2\xb8\x27\0\0\0\x0f\x05\xc3", 10, "and no more");
    EXPECT_MEM(file + ASKED, "\xb8\0\0\0\0\x0f\xa2\xc3", 8, "what wants the truth gets it");
}

TEST(start_is_left_alone_where_one_cpuid_cannot_jump)
{
    static u8 before[SIZE];
    struct err err = {0};

    make_command("\xb8\0\0\0\0\x0f\xa2\x31\xc0\x0f\xa2\xeb\xfc\xc3", 14);
    memcpy(before, file, SIZE);
    EXPECT_EQ(patch_start(file, sizeof(file), &err), -ENOEXEC, NULL);
    EXPECT_MEM(file, before, SIZE, "two CPUs in one");
    make_file("\xb8\0\0\0\0\x0f\xa2\xc3", 8);
    EXPECT_EQ(patch_start(file, sizeof(file), &err), -ENOEXEC, "no room is reserved");
}

struct answer {
    u32 eax, ebx, ecx, edx;
};

/* Run the code as a patched command does, with RDX where it goes on. */
static struct answer ask_plain(u32 leaf)
{
    u64 len = (u64)(cpuid_plain_end - cpuid_plain);
    void *code =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct answer a;
    u64 flags;

    REQUIRE(code != MAP_FAILED && len <= 4096, NULL);
    memcpy(code, cpuid_plain, len);
    __asm__ volatile("lea -256(%%rsp), %%rsp\n\t"
                     "stc\n\t"
                     "lea 1f(%%rip), %%rdx\n\t"
                     "jmp *%[code]\n"
                     "1: pushfq\n\t"
                     "popq %[flags]\n\t"
                     "lea 256(%%rsp), %%rsp"
                     : "=a"(a.eax), "=b"(a.ebx), "=c"(a.ecx), "=&d"(a.edx), [flags] "=&r"(flags)
                     : "a"(leaf), [code] "r"(code)
                     : "cc", "memory");
    munmap(code, 4096);
    EXPECT_TRUE(flags & 1, "flags are kept");
    return a;
}

TEST(plain_cpu_has_what_x86_64_is_made_of_and_caches)
{
    enum { FXSR_SSE_SSE2 = 7 << 24, HTT = 1 << 28 };
    struct answer zero = ask_plain(0), one = ask_plain(1), two = ask_plain(2);

    EXPECT_EQ(zero.eax, 2, "the last leaf");
    EXPECT_MEM(&zero.ebx, "Genu", 4, NULL);
    EXPECT_MEM(&zero.edx, "ineI", 4, NULL);
    EXPECT_MEM(&zero.ecx, "ntel", 4, NULL);
    EXPECT_EQ(one.edx & (FXSR_SSE_SSE2 | HTT), FXSR_SSE_SSE2, NULL);
    EXPECT_EQ(one.ecx, 0, "nothing later");
    EXPECT_EQ(two.eax, 1, NULL);
    EXPECT_EQ(two.edx, 0x002c307d, "2 MiB, 32 KiB, 32 KiB");
    EXPECT_EQ(ask_plain(7).ebx | ask_plain(0x80000000).eax | ask_plain(4).eax, 0, "none of these");
}

TEST(patch_leaves_cpuid_without_a_leaf)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    MAKE("\xe8\0\0\0\0\x0f\xa2\xc3"); /* call +0; cpuid; ret */
    EXPECT_EQ(patch(&out, &h) != NULL, false, "a call makes no leaf");
}

enum { LARGE_PAGES = 300 };
static u8 large[SIZE + LARGE_PAGES * 0x1000];

/* A program of two segments; the second has a call in each of these three pages. */
static int make_large(const u32 pages[3], struct buf *out, struct err *err)
{
    static const u8 call[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    const u64 len = LARGE_PAGES * 0x1000;

    make_file((const char *)call, sizeof(call));
    memset(large, 0, sizeof(large));
    memcpy(large, file, sizeof(file));
    Elf64_Phdr *p = (Elf64_Phdr *)(large + sizeof(Elf64_Ehdr));
    Elf64_Sym *sym = (Elf64_Sym *)(large + SYMBOLS);
    p[1] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, SIZE, SIZE, SIZE, len, len, 0x1000};
    Elf64_Shdr *sections = (Elf64_Shdr *)(large + SYMBOLS + 0x100);
    for (u64 i = 0; i < 3; i++) {
        u64 at = SIZE + pages[i] * 0x1000ul;
        memcpy(large + at, call, sizeof(call));
        sym[2 + i] = (Elf64_Sym){
            .st_info = STT_FUNC, .st_shndx = 1, .st_value = at, .st_size = sizeof(call)};
    }
    sections[1].sh_size = 5 * sizeof(*sym);
    return patch_make("/x", large, sizeof(large), out, err);
}

TEST(patch_joins_pages_that_are_near)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;
    struct err err;

    REQUIRE(make_large((const u32[]){0, 10, 299}, &out, &err) == 0, err.text);
    REQUIRE(patch_check(out.data, out.len, &h), NULL);
    EXPECT_EQ(h.sites_patched, 4, NULL);
    EXPECT_EQ(h.nr_pages, 1 + 11 + 1, "the nine between two are the object's own");
    EXPECT_MEM(out.data + h.pages_at + 5 * 0x1000, large + SIZE + 4 * 0x1000, 0x1000, NULL);
}

TEST(patch_joins_pages_with_the_ends_of_their_segment)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;
    struct err err;
    u32 first, last;

    REQUIRE(make_large((const u32[]){3, 100, 280}, &out, &err) == 0, err.text);
    REQUIRE(patch_check(out.data, out.len, &h), NULL);
    EXPECT_EQ(h.nr_pages, 1 + 4 + 1 + 20, "three before the first, nineteen behind the last");
    memcpy(&first, out.data + h.index_at + sizeof(u32), sizeof(first));
    memcpy(&last, out.data + h.index_at + (h.nr_pages - 1) * sizeof(u32), sizeof(last));
    EXPECT_EQ(first, SIZE / 0x1000, NULL);
    EXPECT_EQ(last, SIZE / 0x1000 + LARGE_PAGES - 1, NULL);
    EXPECT_MEM(out.data + h.pages_at + (h.nr_pages - 1) * 0x1000, large + sizeof(large) - 0x1000,
               0x1000, NULL);
}

TEST(patch_leaves_a_call_with_a_jump_right_behind_it)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    /* 0: mov %rdi, %rax; 3: syscall; 5: mov %edx, %edi; 7: mov %ecx, %esi; jmp 5 */
    MAKE("\x48\x89\xf8\x0f\x05\x89\xd7\x89\xce\xeb\xfa");
    EXPECT_TRUE(!patch(&out, &h), "the jump would be torn");
    EXPECT_EQ(h.sites, 1, "it counts all the same");
}

TEST(patch_leaves_a_call_that_data_points_behind)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;
    u64 pointer = CODE + 5;

    MAKE(AFTER);
    memcpy(file + DATA + 64, &pointer, sizeof(pointer));
    EXPECT_TRUE(!patch(&out, &h), "a table of labels");
}

TEST(patch_leaves_a_number_that_is_jumped_into)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    MAKE("\xb8\x27\0\0\0\x0f\x05\xeb\xf8"); /* jmp into the mov */
    const u8 *page = patch(&out, &h);
    EXPECT_TRUE(!page || page[0] == 0xb8, "the bytes are something else as well");
}

TEST(patch_never_touches_the_return_from_a_handler)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    MAKE("\x48\xc7\xc0\x0f\0\0\0\x0f\x05\xc3");
    EXPECT_TRUE(!patch(&out, &h), "unwinders know it by its bytes");
    MAKE("\xb8\x0f\0\0\0\x0f\x05\xc3");
    buf_free(&out);
    EXPECT_TRUE(!patch(&out, &h), NULL);
}

TEST(patch_does_not_take_data_for_a_call)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    MAKE("\x90\x0f\x05\xc3");
    EXPECT_TRUE(!patch(&out, &h) && !h.sites, "nobody made a number");
    MAKE("\xe8\0\0\0\0\x0f\x05\xc3");
    EXPECT_TRUE(!patch(&out, &h) && !h.sites, "what a call returns is none");
    MAKE("\xb8\x27\0\0\0\xe6\x70\x0f\x05\xc3");
    EXPECT_TRUE(!patch(&out, &h) && !h.sites, "programs do not write to ports");
    make_file("\xb8\x27\0\0\0\x0f\x05\xc3", 4); /* the function ends before */
    EXPECT_TRUE(!patch(&out, &h) && !h.sites, "outside of every function");
}

TEST(patch_mends_what_is_relative)
{
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h;

    /* xor %eax, %eax; lea 0x2000, %rsi; syscall */
    MAKE("\x31\xc0\x48\x8d\x35\xf7\x0f\0\0\x0f\x05\xc3");
    REQUIRE(patch(&out, &h), NULL);
    const u8 *stub = (const u8 *)out.data + h.stubs_at;
    EXPECT_EQ(h.low + h.span + 7 + (u64)(s64)word_at(stub + 3), DATA, "the same place");
    EXPECT_EQ(h.calls[0], 1, "xor makes 0: read");
}

TEST(patch_refuses_code_that_the_linker_writes)
{
    struct buf out CLEANUP(buf_free) = {0};
    Elf64_Phdr *p = (Elf64_Phdr *)(file + sizeof(Elf64_Ehdr));
    struct err err;

    MAKE("\xb8\x27\0\0\0\x0f\x05\xc3");
    p[2] = (Elf64_Phdr){PT_DYNAMIC, PF_R, DATA, DATA, DATA, 32, 32, 8};
    ((Elf64_Ehdr *)file)->e_phnum = 3;
    memcpy(file + DATA, &(Elf64_Dyn){.d_tag = DT_TEXTREL}, sizeof(Elf64_Dyn));
    EXPECT_EQ(patch_make("/x", file, sizeof(file), &out, &err), -ENOEXEC, NULL);
    EXPECT_STR(err.text, "the dynamic linker writes into its code", NULL);
}

TEST(patch_survives_every_byte_changed)
{
    static const u8 values[] = {0, 1, 0x7f, 0x80, 0xff};
    struct err err;

    MAKE(AFTER);
    u8 *copy = malloc(SIZE);
    for (size_t at = 0; at < SIZE; at += at == CODE + 64 ? SYMBOLS - at : 1) {
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            struct buf out CLEANUP(buf_free) = {0};
            memcpy(copy, file, SIZE);
            copy[at] = values[i];
            (void)patch_make("/x", copy, SIZE, &out, &err);
        }
        if (at == 256)
            at = CODE - 1;
        if (at > SYMBOLS + 0x200)
            break;
    }
    free(copy);
}

TEST(patch_survives_every_truncation)
{
    struct err err;

    MAKE(AFTER);
    for (size_t len = 0; len < SIZE; len += len < 512 ? 1 : 61) {
        struct buf out CLEANUP(buf_free) = {0};
        u8 *copy = malloc(len ? len : 1);
        memcpy(copy, file, len);
        (void)patch_make("/x", copy, len, &out, &err);
        free(copy);
    }
}

TEST(patch_name_is_the_build_id)
{
    char name[PATCH_NAME_SIZE];
    Elf64_Phdr *p = (Elf64_Phdr *)(file + sizeof(Elf64_Ehdr));
    struct patch_id id, other;

    MAKE(AFTER);
    REQUIRE(patch_id_of(file, SIZE, SIZE, &id), NULL);
    EXPECT_EQ(id.len, 8, "a hash where there is none");
    file[sizeof(Elf64_Ehdr) + 40]++;
    REQUIRE(patch_id_of(file, SIZE, SIZE, &other), NULL);
    EXPECT_TRUE(memcmp(id.bytes, other.bytes, 8), "of the headers");
    p[2] = (Elf64_Phdr){PT_NOTE, PF_R, 512, 512, 512, 24, 24, 4};
    ((Elf64_Ehdr *)file)->e_phnum = 3;
    memcpy(file + 512, "\4\0\0\0\x8\0\0\0\3\0\0\0GNU\0\1\2\3\4\5\6\7\xab", 24);
    REQUIRE(patch_id_of(file, SIZE, SIZE, &id), NULL);
    EXPECT_EQ(patch_id_name(&id, name), 20, NULL);
    EXPECT_STR(name, "01020304050607ab.ipf", NULL);
    file[512 + 4] = 0xff;
    REQUIRE(patch_id_of(file, SIZE, SIZE, &id), NULL);
    EXPECT_EQ(id.len, 8, "a note that runs over");
}

/* At least @percent of the @instructions of a library of this machine, if it is there. */
static void expect_library(const char *path, u32 instructions, u32 percent)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    struct buf out CLEANUP(buf_free) = {0};
    struct patch_header h = {0};
    struct err err;

    if (elf_map(path, &map, &err) < 0)
        return;
    REQUIRE(patch_make(path, map.data, map.len, &out, &err) == 0, err.text);
    if (out.len)
        REQUIRE(patch_check(out.data, out.len, &h), path);
    EXPECT_TRUE(h.sites_patched * 100 >= instructions * percent, path);
    EXPECT_TRUE(instructions || !h.sites, path);
}

TEST(patch_finds_the_calls_of_real_libraries)
{
    expect_library("/lib/x86_64-linux-gnu/libc.so.6", 526, 98);
    expect_library("/lib/ld-musl-x86_64.so.1", 499, 82);
    expect_library("/bin/busybox", 284, 98);
}

TEST(patch_leaves_tables_in_real_code_alone)
{
    expect_library("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", 0, 0);
}
