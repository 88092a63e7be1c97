/* The kernel's ELF file made into the boot file: its segments as they lie in memory, behind the
 * real-mode part (setup.S) with Linux's setup header and a PE header, before the root image.
 * Source: Linux Documentation/arch/x86/boot.rst; Microsoft's PE format; UEFI 2.10, 2.1.1. */
#include "export/boot_file.h"

#include "abi/elf.h"
#include "abi/fold.h"
#include "abi/linux_boot.h"
#include "export/absolute.h"
#include "export/bytes.h"
#include "export/fold.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <fcntl.h>

extern const u8 export_setup[], export_setup_end[];

enum {
    PAGE = 4096,
    KERNEL_LIMIT = 64 << 20, /* of the ELF file, symbols included */
    IMAGE_LIMIT = 2 << 20,   /* of the kernel in memory: kernel.lds */
    COPY_SIZE = 1 << 20,
    PE_AT = 0x40,
    PE_OPTIONAL = PE_AT + 24,
    PE_OPTIONAL_SIZE = 112 + 6 * 8,
    PE_SECTIONS = PE_OPTIONAL + PE_OPTIONAL_SIZE,
    PE_SECTION_SIZE = 40,
    PE_CODE = 0x60000020, /* code, may be read and executed */
    PE_DATA = 0x40000040, /* data, may be read */
};

#define ROOT_LIMIT (1ull << 30) /* it is loaded into memory, and 32-bit loaders reach it there */

static u64 round_up(u64 value, u64 to)
{
    return (value + to - 1) / to * to;
}

/* --- from ELF to an image of memory --- */

static int boot_refuse(const char *kernel, const char *why, struct err *err)
{
    return err_set(err, ENOEXEC, "kernel '%s': %s", kernel, why);
}

static int boot_segment(const struct buf *elf, const struct elf64_phdr *p, struct boot_file *out,
                        u64 *image_size)
{
    u64 at = p->p_paddr - BOOT_KERNEL_ADDRESS;

    if (p->p_paddr < BOOT_KERNEL_ADDRESS || at > IMAGE_LIMIT || p->p_memsz > IMAGE_LIMIT - at ||
        p->p_filesz > p->p_memsz || p->p_offset > elf->len || p->p_filesz > elf->len - p->p_offset)
        return -ENOEXEC;
    u64 end = BOOT_SETUP_SIZE + at + p->p_filesz;
    if (end > out->head.len) {
        u64 more = end - out->head.len;
        memset(buf_grow(&out->head, more), 0, more);
    }
    memcpy(out->head.data + BOOT_SETUP_SIZE + at, elf->data + p->p_offset, p->p_filesz);
    *image_size = at + p->p_memsz > *image_size ? at + p->p_memsz : *image_size;
    return 0;
}

/* The kernel makes it good before it enters that code. */
static void boot_absolute(u8 *kernel, u64 size, u64 image_size)
{
    struct absolute_form form;

    memcpy(&form, kernel + BOOT_ABSOLUTE, sizeof(form));
    if (form.begin < form.end && form.end < size) {
        absolute_make(kernel, form.begin, form.end, image_size, &form);
        memcpy(kernel + BOOT_ABSOLUTE, &form, sizeof(form));
    }
}

static int boot_read_kernel(const char *kernel, struct boot_file *out, u64 *image_size,
                            struct err *err)
{
    struct buf elf CLEANUP(buf_free) = {0};
    struct elf64_ehdr header;

    int failed = fs_read(kernel, KERNEL_LIMIT, &elf, err);
    if (failed)
        return failed;
    if (elf.len < sizeof(header) || memcmp(elf.data, "\177ELF", 4) != 0)
        return boot_refuse(kernel, "not an ELF file", err);
    memcpy(&header, elf.data, sizeof(header));
    if (header.e_entry != BOOT_KERNEL_ADDRESS + BOOT_ENTRY_64)
        return boot_refuse(kernel, "not an Ingot kernel of this version", err);
    for (u32 i = 0; i < header.e_phnum; i++) {
        struct elf64_phdr p;
        u64 at = header.e_phoff + (u64)i * sizeof(p);
        if (header.e_phoff > elf.len || at + sizeof(p) > elf.len)
            return boot_refuse(kernel, "damaged program headers", err);
        memcpy(&p, elf.data + at, sizeof(p));
        if (p.p_type == PT_LOAD && boot_segment(&elf, &p, out, image_size))
            return boot_refuse(kernel, "damaged segments", err);
    }
    u64 padding = round_up(out->head.len, PAGE) - out->head.len;
    if (padding)
        memset(buf_grow(&out->head, padding), 0, padding);
    out->kernel_size = out->head.len - BOOT_SETUP_SIZE;
    boot_absolute((u8 *)out->head.data + BOOT_SETUP_SIZE, out->kernel_size, *image_size);
    return 0;
}

/* --- headers --- */

static void boot_linux_header(u8 *head, const struct boot_file *file, u64 image_size)
{
    bytes_put(head, LINUX_SETUP_SECTS, BOOT_SETUP_SIZE / 512 - 1, 1);
    bytes_put(head, LINUX_SYSSIZE, file->kernel_size / 16, 4);
    bytes_put(head, LINUX_BOOT_FLAG, 0xaa55, 2);
    bytes_put(head, LINUX_MAGIC, LINUX_MAGIC_TEXT, 4);
    bytes_put(head, LINUX_VERSION, 0x20f, 2);
    bytes_put(head, LINUX_LOADFLAGS, 1, 1); /* the kernel goes to 1 MiB */
    bytes_put(head, LINUX_CODE32_START, BOOT_KERNEL_ADDRESS, 4);
    bytes_put(head, LINUX_INITRD_ADDR_MAX, 0x7fffffff, 4);
    bytes_put(head, LINUX_KERNEL_ALIGNMENT, PAGE, 4);
    bytes_put(head, LINUX_XLOADFLAGS, 1, 2); /* has the 64-bit entry */
    bytes_put(head, LINUX_CMDLINE_SIZE, BOOT_CMDLINE_SIZE - 1, 4);
    bytes_put(head, LINUX_PREF_ADDRESS, BOOT_KERNEL_ADDRESS, 8);
    bytes_put(head, LINUX_INIT_SIZE, round_up(image_size, PAGE), 4);
    bytes_put(head, BOOT_IMAGE_SIZE, round_up(image_size, PAGE), 4);
    bytes_put(head, BOOT_KERNEL_SIZE, file->kernel_size, 4);
    if (file->root_size) {
        bytes_put(head, BOOT_ROOT_OFFSET, file->head.len, 4);
        bytes_put(head, BOOT_ROOT_SIZE, file->root_size, 4);
    }
}

static void boot_pe_section(u8 *at, const char *name, u64 offset, u64 size, u32 flags)
{
    memcpy(at, name, strlen(name));
    bytes_put(at, 8, size, 4);
    bytes_put(at, 12, offset, 4); /* in memory as in the file */
    bytes_put(at, 16, size, 4);
    bytes_put(at, 20, offset, 4);
    bytes_put(at, 36, flags, 4);
}

static void boot_pe_header(u8 *head, const struct boot_file *file)
{
    u8 *coff = head + PE_AT, *optional = head + PE_OPTIONAL, *sections = head + PE_SECTIONS;

    memcpy(head, "MZ", 2);
    bytes_put(head, 0x3c, PE_AT, 4);
    memcpy(coff, "PE\0\0", 4);
    bytes_put(coff, 4, 0x8664, 2);
    bytes_put(coff, 6, file->root_size ? 2 : 1, 2);
    bytes_put(coff, 20, PE_OPTIONAL_SIZE, 2);
    bytes_put(coff, 22, 0x0222, 2); /* executable, any address, no debug information */
    bytes_put(optional, 0, 0x20b, 2);
    bytes_put(optional, 4, file->kernel_size, 4);
    bytes_put(optional, 16, BOOT_SETUP_SIZE + BOOT_ENTRY_EFI, 4);
    bytes_put(optional, 20, BOOT_SETUP_SIZE, 4);
    bytes_put(optional, 32, PAGE, 4); /* section and file alignment */
    bytes_put(optional, 36, 512, 4);
    bytes_put(optional, 56, file->size, 4);
    bytes_put(optional, 60, BOOT_SETUP_SIZE, 4);
    bytes_put(optional, 68, 10, 2); /* an EFI application */
    bytes_put(optional, 108, 6, 4);
    boot_pe_section(sections, ".text", BOOT_SETUP_SIZE, file->kernel_size, PE_CODE);
    if (file->root_size)
        boot_pe_section(sections + PE_SECTION_SIZE, ".root", file->head.len, file->root_size,
                        PE_DATA);
}
static_assert(PE_SECTIONS + 2 * PE_SECTION_SIZE <= LINUX_SETUP_SECTS, "the headers part there");

/* --- the whole --- */

static int boot_measure_root(struct boot_file *file, struct err *err)
{
    for (size_t i = 0; file->layers && i < file->layers->len; i++) {
        struct stat st;
        if (stat(file->layers->at[i], &st) < 0)
            return err_errno(err, errno, "%s", file->layers->at[i]);
        file->root_size += round_up((u64)st.st_size, PAGE);
    }
    if (file->root_size > ROOT_LIMIT)
        return err_set(err, E2BIG,
                       "the image has %llu MiB, and at most %llu MiB can be loaded at the start",
                       (unsigned long long)file->root_size >> 20, ROOT_LIMIT >> 20);
    return 0;
}

/* Fold a root that is worth it: unfolding costs a start the copying of all of it. */
static int boot_fold_root(struct boot_file *file, struct err *err)
{
    struct buf plain CLEANUP(buf_free) = {0};

    if (file->root_size > FOLD_LIMIT)
        return 0;
    for (size_t i = 0; file->layers && i < file->layers->len; i++) {
        struct buf layer CLEANUP(buf_free) = {0};
        int failed = fs_read(file->layers->at[i], FOLD_LIMIT, &layer, err);
        if (failed)
            return failed;
        size_t padding = round_up(layer.len, PAGE) - layer.len;
        buf_add(&plain, layer.data, layer.len);
        memset(buf_grow(&plain, padding), 0, padding);
    }
    fold((const u8 *)plain.data, plain.len, &file->root);
    size_t padding = round_up(file->root.len, PAGE) - file->root.len;
    memset(buf_grow(&file->root, padding), 0, padding);
    if (file->root.len > plain.len - plain.len / 8)
        buf_free(&file->root);
    else
        file->root_size = file->root.len;
    return 0;
}

int boot_file_make(const char *kernel, const char *cmdline, const struct strs *layers,
                   struct boot_file *out, struct err *err)
{
    struct boot_file file CLEANUP(boot_file_free) = {.layers = layers};
    u64 image_size = 0;

    if (strlen(cmdline) >= BOOT_CMDLINE_SIZE)
        return err_set(err, E2BIG, "the command line has %zu bytes, and %d fit", strlen(cmdline),
                       BOOT_CMDLINE_SIZE - 1);
    buf_add(&file.head, export_setup, (size_t)(export_setup_end - export_setup));
    int failed = boot_read_kernel(kernel, &file, &image_size, err);
    if (!failed)
        failed = boot_measure_root(&file, err);
    if (!failed)
        failed = boot_fold_root(&file, err);
    if (failed)
        return failed;
    file.size = file.head.len + file.root_size;
    u8 *head = (u8 *)file.head.data;
    boot_linux_header(head, &file, image_size);
    boot_pe_header(head, &file);
    memcpy(head + BOOT_CMDLINE, cmdline, strlen(cmdline) + 1);
    *out = TAKE(file, (struct boot_file){0});
    return 0;
}

static int boot_copy(const char *from, int fd, u64 offset, const char *path, struct err *err)
{
    char *piece CLEANUP(mem_free) = mem_new(COPY_SIZE);
    int in CLEANUP(fd_close) = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (in < 0)
        return err_errno(err, errno, "%s", from);
    while ((n = read(in, piece, COPY_SIZE)) > 0) {
        int failed = bytes_write(fd, piece, (size_t)n, offset, path, err);
        if (failed)
            return failed;
        offset += (u64)n;
    }
    return n < 0 ? err_errno(err, errno, "%s", from) : 0;
}

int boot_write_layers(const struct strs *layers, int fd, u64 offset, const char *path,
                      struct err *err)
{
    for (size_t i = 0; layers && i < layers->len; i++) {
        struct stat st;
        int failed = boot_copy(layers->at[i], fd, offset, path, err);
        if (failed)
            return failed;
        if (stat(layers->at[i], &st) < 0)
            return err_errno(err, errno, "%s", layers->at[i]);
        offset += round_up((u64)st.st_size, PAGE);
    }
    return 0;
}

int boot_file_write(const struct boot_file *file, int fd, u64 offset, const char *path,
                    struct err *err)
{
    int failed = bytes_write(fd, file->head.data, file->head.len, offset, path, err);

    offset += file->head.len;
    if (failed)
        return failed;
    return file->root.len ? bytes_write(fd, file->root.data, file->root.len, offset, path, err)
                          : boot_write_layers(file->layers, fd, offset, path, err);
}

void boot_file_free(struct boot_file *file)
{
    buf_free(&file->head);
    buf_free(&file->root);
}
