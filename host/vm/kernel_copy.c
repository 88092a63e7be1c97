#include "vm/kernel_copy.h"

#include "abi/hosted.h"
#include "lib/cleanup.h"
#include "vm/boot_cache.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINK_BASE = 0x100000, /* of kernel.lds */
    COPY_MAX = 16 << 20,  /* bytes; the kernel's own limit for its image is 2 MiB */
    WORD = sizeof(u64),
    DT_RELR_ = 36, /* not in every elf.h */
    DT_RELRSZ_ = 35,
};

/* What is loaded of a kernel file: its first bytes. */
struct image {
    u8 *bytes;
    u64 len;    /* of them */
    u64 memory; /* bytes of addresses from LINK_BASE on */
};

static Elf64_Ehdr *header_of(const struct image *image)
{
    return (Elf64_Ehdr *)(void *)image->bytes;
}

static Elf64_Phdr *segments_of(const struct image *image)
{
    return (Elf64_Phdr *)(void *)(image->bytes + header_of(image)->e_phoff);
}

static u64 end_of(u64 start, u64 len)
{
    u64 end;

    return __builtin_add_overflow(start, len, &end) ? UINT64_MAX : end;
}

/* Headers that are ours, and how much of the file and of addresses they want. */
static bool measure(int fd, u64 *len, u64 *memory)
{
    u8 first[512];
    const Elf64_Ehdr *h = (const void *)first;

    if (pread(fd, first, sizeof(first), 0) != (ssize_t)sizeof(first) ||
        memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_phentsize != sizeof(Elf64_Phdr) ||
        h->e_phoff % WORD || end_of(h->e_phoff, h->e_phnum * sizeof(Elf64_Phdr)) > sizeof(first))
        return false;
    const Elf64_Phdr *p = (const void *)(first + h->e_phoff);
    *len = sizeof(first);
    *memory = 0;
    for (u32 i = 0; i < h->e_phnum; i++) {
        if (p[i].p_type != PT_LOAD)
            continue;
        if (p[i].p_vaddr < LINK_BASE || p[i].p_filesz > p[i].p_memsz)
            return false;
        *len = max(*len, end_of(p[i].p_offset, p[i].p_filesz));
        *memory = max(*memory, end_of(p[i].p_vaddr - LINK_BASE, p[i].p_memsz));
    }
    return *len <= COPY_MAX && *memory && *memory <= COPY_MAX;
}

static bool read_image(const char *path, struct image *image)
{
    int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || !measure(fd, &image->len, &image->memory))
        return false;
    image->bytes = malloc(image->len);
    return image->bytes && pread(fd, image->bytes, image->len, 0) == (ssize_t)image->len;
}

/* The @len bytes at address @at as they lie in the file; NULL: they do not. */
static void *at_address(const struct image *image, u64 at, u64 len)
{
    const Elf64_Phdr *p = segments_of(image);

    for (u32 i = 0; i < header_of(image)->e_phnum; i++)
        if (p[i].p_type == PT_LOAD && at >= p[i].p_vaddr &&
            end_of(at, len) <= p[i].p_vaddr + p[i].p_filesz)
            return image->bytes + p[i].p_offset + (at - p[i].p_vaddr);
    return NULL;
}

static const Elf64_Phdr *find_segment(const struct image *image, u32 type)
{
    const Elf64_Phdr *p = segments_of(image);

    for (u32 i = 0; i < header_of(image)->e_phnum; i++)
        if (p[i].p_type == type)
            return &p[i];
    return NULL;
}

static bool move_word(const struct image *image, u64 at, u64 delta)
{
    u64 *word = at_address(image, at, WORD);

    if (word)
        *word += delta;
    return word;
}

/* Packed relative relocations: an address, then bit maps of the words behind it (gABI, SHT_RELR).
 */
static bool move_words(const struct image *image, const u64 *relr, u64 count, u64 delta)
{
    enum { PER_MAP = 63 };
    u64 at = 0;

    for (u64 i = 0; i < count; i++) {
        if (!(relr[i] & 1)) {
            if (!move_word(image, relr[i], delta))
                return false;
            at = relr[i] + WORD;
            continue;
        }
        for (u32 bit = 0; bit < PER_MAP; bit++)
            if ((relr[i] >> (bit + 1) & 1) && !move_word(image, at + bit * WORD, delta))
                return false;
        at += PER_MAP * WORD;
    }
    return true;
}

static bool relocate(const struct image *image, u64 delta)
{
    const Elf64_Phdr *dynamic = find_segment(image, PT_DYNAMIC);
    const Elf64_Dyn *d = dynamic ? at_address(image, dynamic->p_vaddr, dynamic->p_filesz) : NULL;
    u64 relr = 0, size = 0;

    if (!d)
        return false;
    for (u64 i = 0; i < dynamic->p_filesz / sizeof(*d) && d[i].d_tag != DT_NULL; i++) {
        if (d[i].d_tag == DT_RELR_)
            relr = d[i].d_un.d_ptr;
        if (d[i].d_tag == DT_RELRSZ_)
            size = d[i].d_un.d_val;
    }
    const u64 *table = at_address(image, relr, size);
    return table && move_words(image, table, size / WORD, delta);
}

/* What the tender maps where: it takes an image that is not at LINK_BASE for one that is in its
 * place. */
static void move_segments(const struct image *image, u64 delta)
{
    Elf64_Ehdr *h = header_of(image);
    Elf64_Phdr *p = segments_of(image);

    for (u32 i = 0; i < h->e_phnum; i++)
        p[i].p_vaddr += delta;
    h->e_shoff = h->e_shnum = h->e_shstrndx = 0;
}

static bool make_copy(const char *path, const char *name)
{
    struct image image = {0};
    u64 random = 0;

    bool good = read_image(path, &image) &&
                getrandom(&random, sizeof(random), 0) == (ssize_t)sizeof(random);
    if (good) {
        u64 base = hosted_memory_at(random) - ALIGN_UP(image.memory, HOSTED_KERNEL_ALIGN);
        good = relocate(&image, base - LINK_BASE);
        move_segments(&image, base - LINK_BASE);
    }
    if (good)
        boot_cache_put_bytes(name, image.bytes, image.len);
    free(image.bytes);
    return good;
}

/* FNV-1a; who finds two paths with one hash makes a copy more often than he must. */
static u64 hash_of(const char *text)
{
    u64 hash = 0xcbf29ce484222325;

    for (; *text; text++)
        hash = (hash ^ (u8)*text) * 0x100000001b3;
    return hash;
}

int kernel_copy_open(const char *path)
{
    char prefix[32], name[96];
    struct stat st;

    if (stat(path, &st) < 0 || personality(0xffffffff) & ADDR_NO_RANDOMIZE)
        return -1;
    snprintf(prefix, sizeof(prefix), "kernel-%016llx-", (unsigned long long)hash_of(path));
    snprintf(name, sizeof(name), "%s%llx-%llx-%llx", prefix, (unsigned long long)st.st_ino,
             (unsigned long long)st.st_size,
             (unsigned long long)st.st_ctim.tv_sec * 1000000000 +
                 (unsigned long long)st.st_ctim.tv_nsec);
    int fd = boot_cache_open(name);
    if (fd >= 0)
        return fd;
    boot_cache_forget(prefix); /* the copies of what was there before */
    return make_copy(path, name) ? boot_cache_open(name) : -1;
}
