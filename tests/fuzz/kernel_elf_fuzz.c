#include "fuzz/fuzz.h"

#include "sys/elf.h"

/* What the loader relies on once an image has passed. */
static void check_image(const struct elf_image *image, u64 file_size)
{
    u64 floor = 0;

    FUZZ_ASSERT(image->nr_segments >= 1 && image->nr_segments <= ELF_MAX_SEGMENTS);
    FUZZ_ASSERT(image->align >= 4096 && !(image->align & (image->align - 1)));
    FUZZ_ASSERT(image->interp_len <= ELF_INTERP_MAX);
    FUZZ_ASSERT(image->interp_offset + image->interp_len <= file_size);
    for (int i = 0; i < image->nr_segments; i++) {
        const struct elf_segment *s = &image->segments[i];
        FUZZ_ASSERT(s->memsz && s->filesz <= s->memsz && s->vaddr >= floor);
        FUZZ_ASSERT(s->offset + s->filesz <= file_size && s->vaddr % 4096 == s->offset % 4096);
        FUZZ_ASSERT(s->vaddr >= image->low && s->vaddr + s->memsz <= image->high);
        floor = s->vaddr + s->memsz;
    }
    FUZZ_ASSERT(image->high <= 0x800000000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf64_ehdr *header = malloc(size < sizeof(*header) ? size + 1 : sizeof(*header));
    struct elf_image image;
    const char *why = NULL;
    size_t head = size < sizeof(*header) ? size : sizeof(*header);

    memcpy(header, data, head);
    int err = elf_parse_header(header, head, size, &why);
    FUZZ_ASSERT(!err == !why);
    if (!err) {
        size_t len = header->e_phnum * sizeof(struct elf64_phdr);
        FUZZ_ASSERT(header->e_phoff + len <= size);
        struct elf64_phdr *phdrs = malloc(len);
        memcpy(phdrs, data + header->e_phoff, len);
        /* Half of the inputs speak of a larger file than they bring. */
        u64 file_size = header->e_ident[15] & 1 ? size : 1ull << 32;
        err = elf_parse_segments(header, phdrs, file_size, &image, &why);
        FUZZ_ASSERT(!err == !why);
        if (!err)
            check_image(&image, file_size);
        free(phdrs);
    }
    free(header);
    return 0;
}
