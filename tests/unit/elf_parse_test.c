#include "unit/test.h"

#include "abi/mman.h"
#include "fake/random.h"
#include "sys/elf.h"

enum { FILE_SIZE = 0x5000 };

/* A small PIE: headers and text, then data with bss. */
struct sample {
    struct elf64_ehdr h;
    struct elf64_phdr p[5];
};

static struct sample make_sample(void)
{
    struct sample s = {
        .h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
              .e_type = ET_DYN,
              .e_machine = EM_X86_64,
              .e_version = 1,
              .e_entry = 0x1040,
              .e_phoff = sizeof(struct elf64_ehdr),
              .e_ehsize = sizeof(struct elf64_ehdr),
              .e_phentsize = sizeof(struct elf64_phdr),
              .e_phnum = 5},
        .p = {{PT_INTERP, PF_R, 0x300, 0x300, 0x300, 28, 28, 1},
              {PT_LOAD, PF_R, 0, 0, 0, 0x800, 0x800, 0x1000},
              {PT_LOAD, PF_R | PF_X, 0x1000, 0x1000, 0x1000, 0x2000, 0x2000, 0x1000},
              {PT_LOAD, PF_R | PF_W, 0x3e00, 0x4e00, 0x4e00, 0x300, 0x2000, 0x1000},
              {PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16}},
    };
    return s;
}

static int parse(const struct sample *s, struct elf_image *image, const char **why)
{
    *why = "nothing said";
    int err = elf_parse_header(&s->h, sizeof(s->h), FILE_SIZE, why);

    return err ? err : elf_parse_segments(&s->h, s->p, FILE_SIZE, image, why);
}

/* The sample with one change must be refused in words that contain @text. */
static void expect_refusal(const struct sample *s, const char *text)
{
    struct elf_image image;
    const char *why;

    EXPECT_EQ(parse(s, &image, &why), -ENOEXEC, text);
    EXPECT_TRUE(strstr(why, text) != NULL, why);
}

TEST(elf_parse_takes_a_program_apart)
{
    struct sample s = make_sample();
    struct elf_image image;
    const char *why;

    EXPECT_EQ(parse(&s, &image, &why), 0, NULL);
    EXPECT_FALSE(image.fixed, NULL);
    EXPECT_FALSE(image.exec_stack, NULL);
    EXPECT_EQ(image.nr_segments, 3, NULL);
    EXPECT_EQ(image.entry, 0x1040, NULL);
    EXPECT_EQ(image.phdr_vaddr, 0x40, NULL);
    EXPECT_EQ(image.nr_phdrs, 5, NULL);
    EXPECT_EQ(image.low, 0, NULL);
    EXPECT_EQ(image.high, 0x7000, NULL);
    EXPECT_EQ(image.interp_offset, 0x300, NULL);
    EXPECT_EQ(image.interp_len, 28, NULL);
    EXPECT_EQ(image.segments[1].prot, PROT_READ | PROT_EXEC, NULL);
    EXPECT_EQ(image.segments[2].memsz, 0x2000, NULL);
}

TEST(elf_parse_says_what_the_file_is_instead)
{
    struct sample s = make_sample();
    struct elf_image image;
    const char *why;

    EXPECT_EQ(elf_parse_header(&s.h, 40, FILE_SIZE, &why), -ENOEXEC, "short");
    EXPECT_TRUE(strstr(why, "truncated") != NULL, why);
    EXPECT_EQ(elf_parse_header(&s.h, 0, 0, &why), -ENOEXEC, "empty");

    s.h.e_ident[0] = '#';
    expect_refusal(&s, "neither an ELF");
    s = make_sample(), s.h.e_machine = EM_AARCH64;
    expect_refusal(&s, "another machine (AArch64)");
    s = make_sample(), s.h.e_machine = EM_386, s.h.e_ident[EI_CLASS] = 1;
    expect_refusal(&s, "another machine (32-bit x86)");
    s = make_sample(), s.h.e_type = ET_REL;
    expect_refusal(&s, "no program");
    s = make_sample(), s.h.e_phnum = 0;
    expect_refusal(&s, "program headers");
    s = make_sample(), s.h.e_phoff = UINT64_MAX - 10;
    expect_refusal(&s, "truncated");
    s = make_sample(), s.p[2].p_filesz = s.p[2].p_memsz = 0x8000;
    expect_refusal(&s, "past its end");
    s = make_sample(), s.p[3].p_filesz = 0x2001;
    expect_refusal(&s, "larger than its memory");
    s = make_sample(), s.p[3].p_memsz = UINT64_MAX - 0x2000;
    expect_refusal(&s, "outside the address space");
    s = make_sample(), s.p[3].p_vaddr = 0x2e00;
    expect_refusal(&s, "overlap");
    s = make_sample(), s.p[3].p_vaddr += 8;
    expect_refusal(&s, "not page-aligned");
    s = make_sample(), s.p[2].p_flags |= PF_W;
    expect_refusal(&s, "writable and executable");
    s = make_sample(), s.p[0].p_filesz = 5000;
    expect_refusal(&s, "interpreter");
    s = make_sample(), s.p[1].p_type = s.p[2].p_type = s.p[3].p_type = PT_NOTE;
    expect_refusal(&s, "nothing to load");
    (void)image;
}

/* What is accepted, however odd, keeps the promises of struct elf_image. */
static void check_promises(const struct elf_image *image)
{
    u64 floor = 0;

    REQUIRE(image->nr_segments >= 1 && image->nr_segments <= ELF_MAX_SEGMENTS, NULL);
    for (u32 i = 0; i < image->nr_segments; i++) {
        const struct elf_segment *seg = &image->segments[i];
        REQUIRE(seg->vaddr >= floor, "rising, no overlap");
        REQUIRE(seg->filesz <= seg->memsz && seg->memsz, NULL);
        REQUIRE(seg->offset + seg->filesz <= FILE_SIZE, "in the file");
        REQUIRE((seg->vaddr - seg->offset) % 4096 == 0, "congruent");
        REQUIRE((seg->prot & (PROT_WRITE | PROT_EXEC)) != (PROT_WRITE | PROT_EXEC), "W^X");
        floor = seg->vaddr + seg->memsz;
        REQUIRE(floor > seg->vaddr && floor < 1ull << 47, NULL);
    }
    REQUIRE(image->low % 4096 == 0 && image->high >= floor, NULL);
    REQUIRE((image->align & (image->align - 1)) == 0 && image->align >= 4096, NULL);
    REQUIRE(image->interp_offset + image->interp_len <= FILE_SIZE, NULL);
}

TEST(elf_parse_survives_a_million_mutations)
{
    struct elf_image image;
    const char *why;

    for (int i = 0; i < 1000000; i++) {
        struct sample s = make_sample();
        for (u64 n = 1 + fake_random() % 3; n > 0; n--) {
            size_t at = fake_random() % sizeof(s);
            u8 value = fake_random() % 3 ? (u8)fake_random() : (u8)(fake_random() % 2 ? 0 : 0xff);
            ((u8 *)&s)[at] = value;
        }
        if (s.h.e_phnum > 5)
            continue; /* the caller reads as many as the header says */
        if (!parse(&s, &image, &why))
            check_promises(&image);
    }
}
