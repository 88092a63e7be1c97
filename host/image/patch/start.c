#include "image/patch/start.h"

#include "image/patch/cpuid_stub.h"
#include "image/patch/maker.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <string.h>

static bool is_in(const Elf64_Shdr *section, u64 addr)
{
    return addr - section->sh_addr < section->sh_size;
}

/* The `cpuid`s of others are all that is wanted: system calls stay as they are.  False: one of them
 * cannot become a jump, and two CPUs in one would confuse whoever asks. */
static bool keep_cpuids(struct sites *sites, const Elf64_Shdr *ours)
{
    size_t kept = 0;

    for (size_t i = 0; i < sites->len; i++) {
        const struct site *site = &sites->at[i];
        if (!site->cpuid || is_in(ours, site->addr))
            continue;
        if (site->kind == SITE_LEFT)
            return false;
        sites->at[kept++] = *site;
    }
    sites->len = kept;
    return true;
}

static void put_pages(const struct maker *m, u8 *data, size_t len)
{
    for (size_t i = 0; i < m->pages.len / sizeof(u32); i++) {
        u32 index;
        memcpy(&index, m->pages.data + i * sizeof(index), sizeof(index));
        size_t at = (size_t)index * PATCH_PAGE;
        memcpy(data + at, m->bytes.data + i * PATCH_PAGE, min(len - at, (size_t)PATCH_PAGE));
    }
}

static int patch_object(const struct object *o, u8 *data, struct err *err)
{
    struct code_ranges ranges CLEANUP(ranges_free) = {0};
    struct sites sites CLEANUP(sites_free) = {0};
    struct maker m CLEANUP(maker_free) = {
        .o = o, .sites = &sites, .answers = cpuid_plain, .answers_end = cpuid_plain_end};
    const Elf64_Shdr *room = object_section(o, "cpuid_room");
    const Elf64_Shdr *ours = object_section(o, "cpuid_asked");

    if (!ours || !object_section_bytes(o, room))
        return err_set(err, ENOEXEC, "not linked with host/lib/cpuid.S");
    m.stubs = room->sh_addr;
    m.header.low = o->low;
    ranges_find(o, &ranges);
    sites_find(o, &ranges, &sites);
    if (!keep_cpuids(&sites, ours))
        return err_set(err, ENOEXEC, "a cpuid has no room for a jump");
    maker_put_sites(&m);
    if (m.code.len > room->sh_size)
        return err_set(err, ENOEXEC, "%zu bytes of stubs in a room of %llu", m.code.len,
                       (unsigned long long)room->sh_size);
    put_pages(&m, data, o->len);
    memcpy(data + room->sh_offset, m.code.data, m.code.len);
    return 0;
}

int patch_start(u8 *data, size_t len, struct err *err)
{
    struct object object CLEANUP(object_close) = {0};

    int failed = disasm_open(err);
    if (!failed)
        failed = object_open(data, len, &object, err);
    return failed ? failed : patch_object(&object, data, err);
}
