/* Functions by the unwind tables: every FDE is one.  Source: LSB core, "Exception Frames", and
 * DWARF 4, 6.4; encodings DW_EH_PE_*. */
#include "image/patch/ranges.h"

#include <string.h>

enum {
    PE_ABSPTR = 0x00,
    PE_UDATA2 = 0x02,
    PE_UDATA4 = 0x03,
    PE_UDATA8 = 0x04,
    PE_SDATA2 = 0x0a,
    PE_SDATA4 = 0x0b,
    PE_SDATA8 = 0x0c,
    PE_FORMAT = 0x0f,
    PE_PCREL = 0x10,
    PE_APPLICATION = 0x70,
    PE_OMIT = 0xff,
};

/* Bytes under reading; .bad once something did not fit. */
struct reader {
    const u8 *at, *end;
    u64 addr; /* of .at */
    bool bad;
};

static u64 take(struct reader *r, size_t size)
{
    u64 value = 0;

    if ((size_t)(r->end - r->at) < size) {
        r->bad = true;
        return 0;
    }
    memcpy(&value, r->at, size);
    r->at += size;
    r->addr += size;
    return value;
}

static u64 take_uleb(struct reader *r)
{
    u64 value = 0;

    for (u32 shift = 0; !r->bad; shift += 7) {
        u8 byte = (u8)take(r, 1);
        if (shift < 64)
            value |= (u64)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
    }
    return value;
}

/* A pointer in one of the encodings that linkers write. */
static u64 take_pointer(struct reader *r, u8 encoding)
{
    u64 here = r->addr, value = 0;

    switch (encoding & PE_FORMAT) {
    case PE_ABSPTR:
    case PE_UDATA8:
    case PE_SDATA8:
        value = take(r, 8);
        break;
    case PE_UDATA4:
        value = take(r, 4);
        break;
    case PE_SDATA4:
        value = (u64)(s64)(s32)take(r, 4);
        break;
    case PE_UDATA2:
        value = take(r, 2);
        break;
    case PE_SDATA2:
        value = (u64)(s64)(s16)take(r, 2);
        break;
    default:
        r->bad = true;
    }
    if ((encoding & PE_APPLICATION) == PE_PCREL)
        return value ? value + here : 0;
    if (encoding & PE_APPLICATION)
        r->bad = true;
    return value;
}

struct cie {
    u8 pointers, lsda; /* encodings; PE_OMIT: none */
    bool sized;        /* FDEs have the length of their augmentation */
};

static bool read_cie(struct reader *r, struct cie *cie)
{
    *cie = (struct cie){.pointers = PE_ABSPTR, .lsda = PE_OMIT};
    u8 version = (u8)take(r, 1);
    const char *augmentation = (const char *)r->at;
    const u8 *nul = memchr(r->at, 0, (size_t)(r->end - r->at));
    if (!nul || (version != 1 && version != 3))
        return false;
    r->addr += (u64)(nul + 1 - r->at);
    r->at = nul + 1;
    take_uleb(r); /* code alignment */
    take_uleb(r); /* data alignment */
    if (version == 1)
        take(r, 1);
    else
        take_uleb(r);
    if (augmentation[0] != 'z')
        return !augmentation[0] && !r->bad;
    cie->sized = true;
    take_uleb(r);
    for (const char *c = augmentation + 1; *c && !r->bad; c++) {
        if (*c == 'R')
            cie->pointers = (u8)take(r, 1);
        else if (*c == 'L')
            cie->lsda = (u8)take(r, 1);
        else if (*c == 'P')
            take_pointer(r, (u8)take(r, 1) & ~(u8)0x80);
        else if (*c != 'S' && *c != 'B')
            return false;
    }
    return !r->bad;
}

static void read_fde(const struct object *o, struct reader *r, const struct cie *cie,
                     struct code_ranges *out)
{
    u64 start = take_pointer(r, cie->pointers);
    u64 len = take_pointer(r, cie->pointers & PE_FORMAT);
    bool pads = false;

    if (cie->sized && cie->lsda != PE_OMIT) {
        take_uleb(r);
        pads = take_pointer(r, cie->lsda) != 0;
    }
    if (!r->bad)
        ranges_add(o, out, start, len, pads);
}

/* One record at @r; it is cut to its own length.  Returns where the next one begins, 0: no more. */
static u64 read_record(const struct object *o, struct reader r, struct code_ranges *out)
{
    const u8 *begin = r.at;
    u64 addr = r.addr, len = take(&r, 4);

    if (len == 0xffffffff)
        len = take(&r, 8);
    if (r.bad || !len || len > (u64)(r.end - r.at) || len < 4)
        return 0;
    u64 next = addr + (u64)(r.at - begin) + len;
    r.end = r.at + len;
    u64 place = r.addr, back = take(&r, 4);
    if (!back || back > place)
        return next; /* a CIE: read when an FDE asks for it */

    u64 left;
    const u8 *bytes = object_at(o, place - back, &left);
    struct reader c = {bytes, bytes ? bytes + left : NULL, place - back, !bytes};
    u64 cie_len = take(&c, 4);
    struct cie cie;
    if (c.bad || cie_len < 4 || cie_len > (u64)(c.end - c.at))
        return next;
    c.end = c.at + cie_len;
    if (take(&c, 4) == 0 && read_cie(&c, &cie))
        read_fde(o, &r, &cie, out);
    return next;
}

/* The address of .eh_frame: by the table that the unwinder uses, or by the section's name. */
static u64 eh_frame_addr(const struct object *o)
{
    const Elf64_Shdr *section = object_section(o, ".eh_frame");
    u64 left;
    const u8 *bytes = o->eh_frame_hdr ? object_at(o, o->eh_frame_hdr, &left) : NULL;

    if (bytes && left >= 12 && bytes[0] == 1) {
        struct reader r = {bytes + 4, bytes + left, o->eh_frame_hdr + 4, false};
        u64 addr = take_pointer(&r, bytes[1]);
        if (!r.bad)
            return addr;
    }
    return section ? section->sh_addr : 0;
}

void ranges_from_eh_frame(const struct object *o, struct code_ranges *out)
{
    u64 addr = eh_frame_addr(o), left;
    const u8 *bytes;

    while (addr && (bytes = object_at(o, addr, &left)))
        addr = read_record(o, (struct reader){bytes, bytes + left, addr, false}, out);
}
