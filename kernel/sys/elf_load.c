/* An ELF file becomes areas of an address space.  Text comes from the page cache (in place where
 * the file lies in memory for good); what a segment has beyond the file is anonymous memory. */
#include "abi/errno.h"
#include "abi/mman.h"
#include "abi/patch.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "sys/exec_priv.h"
#include "sys/patch.h"
#include "vfs/file.h"
#include "vfs/inode.h"

static int read_exactly(struct file *file, void *buf, size_t len, u64 pos)
{
    ssize_t n = file_read_kernel(file, buf, len, (s64)pos);

    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : -EIO;
}

static int refuse(struct exec_error *error, const char *path, int err, const char *why)
{
    if (err == -ENOEXEC)
        return exec_fail(error, err, "'%s': exec format error: %s", path, why);
    if (err == -ENOMEM)
        return exec_fail(error, err, "out of memory: cannot load '%s'", path);
    if (err == -EUCLEAN)
        return exec_fail(error, err, "'%s': the file system is corrupt", path);
    return exec_fail(error, err, "'%s': cannot be read (error %d)", path, -err);
}

int elf_read(struct file *file, const char *path, struct elf_image *image, struct exec_error *error)
{
    struct elf64_ehdr header;
    const char *why = "";
    u64 size = file->inode->size;

    ssize_t n = file_read_kernel(file, &header, sizeof(header), 0);
    if (n < 0)
        return refuse(error, path, (int)n, why);
    int err = elf_parse_header(&header, (size_t)n, size, &why);
    if (err)
        return refuse(error, path, err, why);

    size_t len = header.e_phnum * sizeof(struct elf64_phdr);
    struct elf64_phdr *phdrs = kmalloc(len);
    if (!phdrs)
        return refuse(error, path, -ENOMEM, why);
    err = read_exactly(file, phdrs, len, header.e_phoff);
    if (!err)
        err = elf_parse_segments(&header, phdrs, size, image, &why);
    kfree(phdrs);
    return err ? refuse(error, path, err, why) : 0;
}

/* Clear what follows the file's bytes in the last page that has any. */
static int clear_tail(const struct elf_segment *s, u64 bias)
{
    u64 from = bias + s->vaddr + s->filesz;

    if (!(s->prot & PROT_WRITE) || IS_ALIGNED(from, PAGE_SIZE))
        return 0;
    return clear_user(from, ALIGN_UP(from, PAGE_SIZE) - from);
}

static int map_segment(struct mm *mm, struct vm_backing *backing, const struct elf_segment *s,
                       u64 bias)
{
    u64 start = bias + ALIGN_DOWN(s->vaddr, PAGE_SIZE);
    u64 file_end = bias + ALIGN_UP(s->vaddr + s->filesz, PAGE_SIZE);
    u64 end = bias + ALIGN_UP(s->vaddr + s->memsz, PAGE_SIZE);
    u64 at;

    if (s->filesz) {
        int err = mm_map(mm, start, file_end - start, s->prot, MAP_PRIVATE | MAP_FIXED, backing,
                         ALIGN_DOWN(s->offset, PAGE_SIZE), NULL, &at);
        if (!err && s->memsz > s->filesz)
            err = clear_tail(s, bias);
        if (err)
            return err;
        start = file_end;
    }
    if (start >= end)
        return 0;
    return mm_map(mm, start, end - start, s->prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0,
                  NULL, &at);
}

/* A free place for @span bytes that begin with the image, by its greatest alignment: at @base, or
 * anywhere if that is 0. */
static int choose_bias(struct mm *mm, const struct elf_image *image, u64 span, u64 base, u64 *bias)
{
    u64 at;

    *bias = 0;
    if (image->fixed)
        return 0;
    if (base) {
        *bias = ALIGN_DOWN(base, image->align) - image->low;
        return 0;
    }
    u64 want = span + image->align - PAGE_SIZE;
    int err = mm_map(mm, 0, want, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NULL, 0,
                     NULL, &at);
    if (err)
        return err;
    *bias = ALIGN_DOWN(at + want - span, image->align) - image->low;
    return mm_unmap(mm, at, want);
}

/* A program at a fixed place may lie where the gate is; then there is none. */
static struct patch *open_patch(struct mm *mm, struct file *file, const struct elf_image *image)
{
    if (image->fixed && image->low <= GATE_ADDR)
        return NULL;
    return patch_open(mm, file, image->low, image->high - image->low);
}

int elf_map(struct mm *mm, struct file *file, const struct elf_image *image, u64 base,
            struct elf_loaded *out)
{
    u64 bias, span = image->high - image->low;
    struct patch *patch = open_patch(mm, file, image);
    struct vm_backing *backing = patch ? patch_text(patch) : &file->backing;

    if (patch)
        span += patch_stubs_len(patch);
    int err = choose_bias(mm, image, span, base, &bias);
    if (patch)
        patch_place(patch, bias);
    for (u32 i = 0; i < image->nr_segments && !err; i++)
        err = map_segment(mm, backing, &image->segments[i], bias);
    if (!err && patch)
        err = patch_map_stubs(patch, mm);
    patch_put(patch);
    if (err)
        return err;
    *out = (struct elf_loaded){
        .bias = bias,
        .entry = bias + image->entry,
        .phdr = image->phdr_vaddr ? bias + image->phdr_vaddr : 0,
        .end = bias + image->low + span,
    };
    return 0;
}
