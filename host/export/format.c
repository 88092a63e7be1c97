/* Formats by each target's own rules.  All begin with the raw disk or the boot file, in a folder of
 * our own beside the result, which is moved there when it is whole; other programs convert where
 * they do it right.  docs/guide/export.md has what each target wants, and how it gets it. */
#include "export/format.h"

#include "export/boot_file.h"
#include "export/bytes.h"
#include "export/disk.h"
#include "export/machines.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"
#include "lib/sha256.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

enum {
    MIB_SIZE = 1 << 20,
    KERNEL_MAX = 64 << 20, /* with its symbols */
    CD_SECTOR = 2048,
    CD_BOOT_RECORD = 17, /* El Torito 1.0, figure 7 */
    CD_CATALOG = 0x47,
    CD_LOADER_LBA = 0x1a0, /* struct mbr_fields, host/export/disk.c */
};

/* The work on one export. */
struct job {
    const struct export_plan *plan;
    char *dir;    /* scratch, beside the result */
    char *result; /* within it */
    u64 unit;     /* sizes are multiples of this */
    const char *qemu_format;
    const char *qemu_options; /* NULL: none */
};

struct format {
    const char *name;
    int (*make)(struct job *job, struct err *err);
    const char *qemu_format, *qemu_options;
    u64 unit;
    bool is_folder;
};

static char *job_path(const struct job *job, const char *name)
{
    return fs_join(job->dir, name);
}

static int job_write(const struct job *job, const char *name, const char *text, struct err *err)
{
    char *path CLEANUP(mem_free) = job_path(job, name);

    return fs_write(path, text, strlen(text), 0644, err);
}

static int job_run(const struct job *job, const char *const *argv, struct err *err)
{
    struct buf words CLEANUP(buf_free) = {0};
    struct proc proc = {.argv = argv, .cwd = job->dir, .out = &words, .errors = &words};

    return proc_check(&proc, err);
}

static int job_boot_file(const struct job *job, bool with_root, struct boot_file *file,
                         struct err *err)
{
    const struct export_plan *plan = job->plan;

    return boot_file_make(plan->kernel, plan->cmdline, with_root ? &plan->image->layers : NULL,
                          file, err);
}

static int job_boot_file_to(const struct job *job, bool with_root, const char *name,
                            struct err *err)
{
    struct boot_file file CLEANUP(boot_file_free) = {0};
    char *path CLEANUP(mem_free) = job_path(job, name);

    int failed = job_boot_file(job, with_root, &file, err);
    if (failed)
        return failed;
    int fd CLEANUP(fd_close) = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd < 0 ? err_errno(err, errno, "%s", path) : boot_file_write(&file, fd, 0, path, err);
}

/* --- disks --- */

static int job_disk_size(const struct job *job, const struct boot_file *file, u64 *size,
                         struct err *err)
{
    const struct export_plan *plan = job->plan;
    u64 least = (disk_least(file) + job->unit - 1) / job->unit * job->unit;

    *size = plan->size ? plan->size : least;
    if (*size < least)
        return err_set(err, EFBIG, "--size: the image needs %llu MiB as %s",
                       (unsigned long long)least >> 20, plan->format);
    if (*size % job->unit)
        return err_set(err, ERR_USAGE, "--size: %s takes multiples of %llu MiB", plan->format,
                       (unsigned long long)job->unit >> 20);
    return 0;
}

static int job_disk(const struct job *job, const char *name, u64 *size, struct err *err)
{
    struct boot_file file CLEANUP(boot_file_free) = {0};
    char *path CLEANUP(mem_free) = job_path(job, name);

    int failed = job_boot_file(job, true, &file, err);
    if (!failed)
        failed = job_disk_size(job, &file, size, err);
    return failed ? failed : disk_write(&file, *size, job->plan->image->id, path, err);
}

static int make_raw(struct job *job, struct err *err)
{
    u64 size;

    return job_disk(job, "result", &size, err);
}

static int job_convert(struct job *job, const char *to, struct err *err)
{
    u64 size;
    const char *plain[] = {"qemu-img",       "convert",  "-f", "raw", "-O",
                           job->qemu_format, "disk.raw", to,   NULL};
    const char *with[] = {"qemu-img", "convert",         "-f",       "raw", "-O", job->qemu_format,
                          "-o",       job->qemu_options, "disk.raw", to,    NULL};

    int failed = job_disk(job, "disk.raw", &size, err);
    return failed ? failed : job_run(job, job->qemu_options ? with : plain, err);
}

static int make_converted(struct job *job, struct err *err)
{
    return job_convert(job, "result", err);
}

/* Google wants a tar in the old GNU format, with one file of that name. */
static int make_gce(struct job *job, struct err *err)
{
    struct err absent = {0};
    char *better CLEANUP(mem_free) = proc_find("libdeflate-gzip", &absent);
    const char *argv[] = {"tar",
                          better ? "--use-compress-program=libdeflate-gzip -12"
                                 : "--use-compress-program=gzip -9n",
                          "--format=oldgnu",
                          "--sparse",
                          "--owner=0",
                          "--group=0",
                          "--mtime=@0",
                          "--create",
                          "--file=result",
                          "disk.raw",
                          NULL};
    u64 size;

    int failed = job_disk(job, "disk.raw", &size, err);
    return failed ? failed : job_run(job, argv, err);
}

static int job_digest_line(const struct job *job, const char *name, struct buf *out,
                           struct err *err)
{
    char *path CLEANUP(mem_free) = job_path(job, name);
    struct sha256_hex digest;
    uint64_t size;

    int failed = sha256_file(path, &digest, &size, err);
    if (!failed)
        buf_printf(out, "SHA256(%s)= %s\n", name, digest.text);
    return failed;
}

static u64 job_file_size(const struct job *job, const char *name)
{
    char *path CLEANUP(mem_free) = job_path(job, name);
    struct stat st = {0};

    stat(path, &st); /* we have just written it */
    return (u64)st.st_size;
}

/* The descriptor comes first, then the digests, then what they are of: DSP0243, 5.3. */
static int make_ova(struct job *job, struct err *err)
{
    const struct export_plan *plan = job->plan;
    char *vmdk CLEANUP(mem_free) = str_printf("%s-disk1.vmdk", plan->name);
    char *ovf CLEANUP(mem_free) = str_printf("%s.ovf", plan->name);
    char *mf CLEANUP(mem_free) = str_printf("%s.mf", plan->name);
    struct buf envelope CLEANUP(buf_free) = {0}, digests CLEANUP(buf_free) = {0};
    const char *argv[] = {"tar",      "--format=ustar", "--owner=0", "--group=0", "--mtime=@0",
                          "--create", "--file=result",  ovf,         mf,          vmdk,
                          NULL};

    int failed = job_convert(job, vmdk, err);
    if (failed)
        return failed;
    machine_ovf(&envelope, plan->name, plan->memory, vmdk, job_file_size(job, vmdk),
                job_file_size(job, "disk.raw"));
    failed = job_write(job, ovf, buf_text(&envelope), err);
    if (!failed)
        failed = job_digest_line(job, ovf, &digests, err);
    if (!failed)
        failed = job_digest_line(job, vmdk, &digests, err);
    if (!failed)
        failed = job_write(job, mf, buf_text(&digests), err);
    return failed ? failed : job_run(job, argv, err);
}

/* --- CDs --- */

/* Tell the loader where xorriso has put it: El Torito's catalog knows. */
static int job_patch_cd(const struct job *job, struct err *err)
{
    int fd CLEANUP(fd_close) = open(job->result, O_RDWR | O_CLOEXEC);
    u32 catalog, loader;

    if (fd < 0 || pread(fd, &catalog, 4, CD_BOOT_RECORD * CD_SECTOR + CD_CATALOG) != 4 ||
        pread(fd, &loader, 4, (off_t)catalog * CD_SECTOR + 32 + 8) != 4)
        return err_set(err, EIO, "%s: xorriso has written no boot catalog", job->result);
    u64 lba = loader + 1;
    return bytes_write(fd, &lba, sizeof(lba), (u64)loader * CD_SECTOR + CD_LOADER_LBA, job->result,
                       err);
}

static int make_iso(struct job *job, struct err *err)
{
    static const char *const argv[] = {"xorriso",
                                       "-as",
                                       "mkisofs",
                                       "-quiet",
                                       "-V",
                                       "INGOT",
                                       "-o",
                                       "result",
                                       "-b",
                                       "bios.img",
                                       "-no-emul-boot",
                                       "-boot-load-size",
                                       "4",
                                       "-eltorito-alt-boot",
                                       "-e",
                                       "efi.img",
                                       "-no-emul-boot",
                                       "tree",
                                       NULL};
    struct boot_file file CLEANUP(boot_file_free) = {0};
    char *tree CLEANUP(mem_free) = job_path(job, "tree");
    char *bios CLEANUP(mem_free) = fs_join(tree, "bios.img");
    char *efi CLEANUP(mem_free) = fs_join(tree, "efi.img");

    int failed = fs_mkdirs(tree, err);
    if (!failed)
        failed = job_boot_file(job, true, &file, err);
    if (!failed)
        failed = disk_write_cd(&file, 0, bios, err);
    if (!failed)
        failed = disk_write_esp(&file, efi, err);
    if (!failed)
        failed = job_run(job, argv, err);
    return failed ? failed : job_patch_cd(job, err);
}

/* --- files for a loader --- */

static int make_efi(struct job *job, struct err *err)
{
    return job_boot_file_to(job, true, "result", err);
}

/* The kernel without its symbols, which no loader wants: what is loaded, and no section headers. */
static int job_vmlinux(const struct job *job, const char *path, struct err *err)
{
    struct buf file CLEANUP(buf_free) = {0};
    const char *kernel = job->plan->kernel;

    int failed = fs_read(kernel, KERNEL_MAX, &file, err);
    if (failed)
        return failed;
    Elf64_Ehdr *h = (void *)file.data; /* malloc aligns it */
    u64 headers = file.len < sizeof(*h) ? UINT64_MAX : h->e_phoff + h->e_phnum * sizeof(Elf64_Phdr);
    if (headers > file.len || h->e_phoff % alignof(Elf64_Phdr))
        return err_set(err, EINVAL, "%s: not a kernel; build Ingot anew", kernel);
    const Elf64_Phdr *p = (const void *)(file.data + h->e_phoff);
    size_t end = headers;
    for (unsigned i = 0; i < h->e_phnum; i++)
        end = max(end, (size_t)p[i].p_offset + (size_t)p[i].p_filesz);
    h->e_shoff = h->e_shnum = h->e_shstrndx = 0;
    return fs_write(path, file.data, min(end, file.len), 0755, err);
}

/* The ELF file and the root image, as `vmlinux` and `initrd`. */
static int job_kernel_files(const struct job *job, struct err *err)
{
    const struct export_plan *plan = job->plan;
    char *vmlinux CLEANUP(mem_free) = fs_join(job->result, "vmlinux");
    char *initrd CLEANUP(mem_free) = fs_join(job->result, "initrd");

    int failed = fs_mkdirs(job->result, err);
    if (!failed)
        failed = job_vmlinux(job, vmlinux, err);
    if (failed)
        return failed;
    int fd CLEANUP(fd_close) = open(initrd, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd < 0 ? err_errno(err, errno, "%s", initrd)
                  : boot_write_layers(&plan->image->layers, fd, 0, initrd, err);
}

static int make_kernel(struct job *job, struct err *err)
{
    int failed = job_kernel_files(job, err);

    if (!failed)
        failed = job_boot_file_to(job, false, "result/bzImage", err);
    if (failed)
        return failed;
    char *line CLEANUP(mem_free) = str_printf("%s\n", job->plan->cmdline);
    return job_write(job, "result/cmdline", line, err);
}

static int make_firecracker(struct job *job, struct err *err)
{
    struct buf config CLEANUP(buf_free) = {0};

    int failed = job_kernel_files(job, err);
    if (failed)
        return failed;
    machine_firecracker(&config, job->plan->cmdline, job->plan->memory);
    return job_write(job, "result/vm.json", buf_text(&config), err);
}

static int make_libvirt(struct job *job, struct err *err)
{
    const struct export_plan *plan = job->plan;
    struct buf domain CLEANUP(buf_free) = {0};

    int failed = fs_mkdirs(job->result, err);
    if (!failed)
        failed = job_convert(job, "result/disk.qcow2", err);
    if (failed)
        return failed;
    char *above CLEANUP(mem_free) = fs_join(job->dir, "..");
    char *parent CLEANUP(mem_free) = fs_real(above, err);
    if (!parent)
        return -err->code;
    char *disk CLEANUP(mem_free) = str_printf("%s/%s/disk.qcow2", parent, fs_name(plan->out));
    machine_libvirt(&domain, plan->name, plan->memory, disk);
    return job_write(job, "result/domain.xml", buf_text(&domain), err);
}

/* --- the table --- */

static const struct format formats[] = {
    {"raw", make_raw, NULL, NULL, MIB_SIZE, false},
    {"qcow2", make_converted, "qcow2", NULL, MIB_SIZE, false},
    {"vmdk", make_converted, "vmdk", "subformat=streamOptimized", MIB_SIZE, false},
    {"vhd", make_converted, "vpc", "subformat=fixed,force_size=on", MIB_SIZE, false},
    {"vhdx", make_converted, "vhdx", "subformat=dynamic", MIB_SIZE, false},
    {"vdi", make_converted, "vdi", NULL, MIB_SIZE, false},
    {"gce", make_gce, NULL, NULL, 1024 * MIB_SIZE, false},
    {"ova", make_ova, "vmdk", "subformat=streamOptimized", MIB_SIZE, false},
    {"iso", make_iso, NULL, NULL, MIB_SIZE, false},
    {"efi", make_efi, NULL, NULL, MIB_SIZE, false},
    {"libvirt", make_libvirt, "qcow2", NULL, MIB_SIZE, true},
    {"firecracker", make_firecracker, NULL, NULL, MIB_SIZE, true},
    {"kernel+initrd", make_kernel, NULL, NULL, MIB_SIZE, true},
};

const char *export_formats(void)
{
    return "raw qcow2 vmdk vhd vhdx vdi gce ova iso efi libvirt firecracker kernel+initrd";
}

static const struct format *export_find(const char *name, struct err *err)
{
    const char *names[ARRAY_LEN(formats)];

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
        names[i] = formats[i].name;
    }
    const char *nearest = str_nearest(name, names, ARRAY_LEN(names));
    if (nearest)
        err_set(err, ERR_USAGE, "--format: unknown format '%s'; did you mean '%s'?", name, nearest);
    else
        err_set(err, ERR_USAGE, "--format: '%s' is none of: %s", name, export_formats());
    return NULL;
}

static int export_check_out(const struct export_plan *plan, bool is_folder, struct err *err)
{
    struct stat st;

    if (lstat(plan->out, &st) < 0)
        return 0;
    if (is_folder || S_ISDIR(st.st_mode))
        return err_set(err, EEXIST, "'%s' exists; name a folder that is not there", plan->out);
    if (!plan->force)
        return err_set(err, EEXIST, "'%s' exists; replace it with --force", plan->out);
    return 0;
}

/* What failed was a file of the scratch folder @dir beside the result, which has a name of its own:
 * the user knows the result's.  Returns -code. */
static int export_name_out(const struct export_plan *plan, const char *dir, struct err *err)
{
    const char *at = strstr(err->text, dir);
    struct buf text CLEANUP(buf_free) = {0};

    if (!at)
        return -err->code;
    buf_add(&text, err->text, (size_t)(at - err->text));
    buf_puts(&text, plan->out);
    buf_puts(&text, at + strcspn(at, ":' "));
    return err_set(err, err->code, "%s", buf_text(&text));
}

int export_image(const struct export_plan *plan, struct err *err)
{
    const struct format *format = export_find(plan->format, err);

    if (!format)
        return -err->code;
    int failed = export_check_out(plan, format->is_folder, err);
    if (failed)
        return failed;
    const char *name = fs_name(plan->out);
    char *parent CLEANUP(mem_free) =
        name == plan->out ? str_dup(".") : str_printf("%.*s", (int)(name - plan->out), plan->out);
    char *dir CLEANUP(fs_tmpdir_remove) = fs_tmpdir(parent, err);
    if (!dir)
        return -err->code;
    char *result CLEANUP(mem_free) = fs_join(dir, "result");
    struct job job = {.plan = plan,
                      .dir = dir,
                      .result = result,
                      .unit = format->unit,
                      .qemu_format = format->qemu_format,
                      .qemu_options = format->qemu_options};
    failed = format->make(&job, err);
    if (failed)
        return export_name_out(plan, dir, err);
    if (!format->is_folder)
        chmod(result, 0644); /* as any new file; a converter may have been more careful */
    return rename(result, plan->out) < 0 ? err_errno(err, errno, "%s", plan->out) : 0;
}
