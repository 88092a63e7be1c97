#include "lib/patch.h"

#include "abi/elf.h"
#include "lib/string.h"

enum { NOTE_BUILD_ID = 3, ID_MIN = 8 };

struct note {
    u32 namesz, descsz, type;
    char name[4];
};

/* The build id among the notes in [at, +left), which lie in the page. */
static bool find_build_id(const u8 *at, u64 left, struct patch_id *out)
{
    while (left >= sizeof(struct note)) {
        struct note note;
        memcpy(&note, at, sizeof(note));
        u64 name_end = 12 + ALIGN_UP((u64)note.namesz, 4u);
        u64 end = name_end + ALIGN_UP((u64)note.descsz, 4u);
        if (end > left)
            return false;
        if (note.type == NOTE_BUILD_ID && note.namesz == 4 && !memcmp(note.name, "GNU", 4) &&
            note.descsz >= ID_MIN && note.descsz <= sizeof(out->bytes)) {
            out->len = note.descsz;
            memcpy(out->bytes, at + name_end, note.descsz);
            return true;
        }
        at += end;
        left -= end;
    }
    return false;
}

/* Of whole words; what is left over at the end does not count. */
static u64 hash_words(u64 hash, const u8 *bytes, size_t len)
{
    for (size_t i = 0; i + sizeof(u64) <= len; i += sizeof(u64)) {
        u64 word;
        memcpy(&word, bytes + i, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

static bool is_ours(const struct elf64_ehdr *h, size_t len)
{
    return !memcmp(h->e_ident, "\177ELF", 4) && h->e_ident[EI_CLASS] == ELFCLASS64 &&
           h->e_machine == EM_X86_64 && h->e_phentsize == sizeof(struct elf64_phdr) &&
           h->e_phoff <= len && h->e_phnum <= (len - h->e_phoff) / sizeof(struct elf64_phdr);
}

bool patch_id_of(const u8 *head, size_t len, u64 size, struct patch_id *out)
{
    struct elf64_ehdr h;

    len = min(len, (size_t)PATCH_PAGE);
    if (len < sizeof(h))
        return false;
    memcpy(&h, head, sizeof(h));
    if (!is_ours(&h, len))
        return false;
    memset(out, 0, sizeof(*out));
    for (u32 i = 0; i < h.e_phnum; i++) {
        struct elf64_phdr p;
        memcpy(&p, head + h.e_phoff + i * sizeof(p), sizeof(p));
        if (p.p_type == PT_NOTE && p.p_offset < len && p.p_filesz <= len - p.p_offset &&
            find_build_id(head + p.p_offset, p.p_filesz, out))
            return true;
    }
    u64 hash = hash_words(size, head, sizeof(h));
    hash = hash_words(hash, head + h.e_phoff, h.e_phnum * sizeof(struct elf64_phdr));
    out->len = sizeof(hash);
    memcpy(out->bytes, &hash, sizeof(hash));
    return true;
}

size_t patch_id_name(const struct patch_id *id, char name[PATCH_NAME_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;

    for (u32 i = 0; i < id->len && i < sizeof(id->bytes); i++) {
        name[n++] = digits[id->bytes[i] >> 4];
        name[n++] = digits[id->bytes[i] & 15];
    }
    memcpy(name + n, PATCH_SUFFIX, sizeof(PATCH_SUFFIX));
    return n + sizeof(PATCH_SUFFIX) - 1;
}

static bool holds(u64 size, u32 at, u64 count, u64 unit, u32 align)
{
    return at <= size && count <= (size - at) / unit && at % align == 0;
}

static bool areas_make_sense(const struct patch_header *h)
{
    for (u32 i = 0; i < h->nr_areas; i++) {
        const struct patch_area *a = &h->areas[i];
        if (a->vaddr % PATCH_PAGE || a->offset % PATCH_PAGE || a->len % PATCH_PAGE ||
            a->vaddr < h->low || a->vaddr - h->low > h->span ||
            a->len > h->span - (a->vaddr - h->low))
            return false;
    }
    return true;
}

const char *patch_header_fault(const struct patch_header *h, u64 size)
{
    if (size < sizeof(*h) || h->magic != PATCH_MAGIC)
        return "it is no patch";
    if (h->version != PATCH_VERSION || h->gate != GATE_ADDR)
        return "it was made by another version";
    if (h->id_len > sizeof(h->id) || h->nr_areas > PATCH_AREAS_MAX ||
        h->name[sizeof(h->name) - 1] || h->nr_pages > PATCH_PAGES_MAX ||
        h->stubs_len > PATCH_STUBS_MAX || h->low % PATCH_PAGE || h->span % PATCH_PAGE ||
        h->stubs_len % PATCH_PAGE || h->span > GIB(2) - PATCH_STUBS_MAX || !areas_make_sense(h))
        return "its header makes no sense";
    if (!holds(size, h->index_at, h->nr_pages, sizeof(u32), 4) ||
        !holds(size, h->pages_at, h->nr_pages, PATCH_PAGE, PATCH_PAGE) ||
        !holds(size, h->stubs_at, h->stubs_len, 1, PATCH_PAGE) ||
        !holds(size, h->pcs_at, h->nr_pcs, sizeof(struct patch_pc), 4) ||
        !holds(size, h->backs_at, h->nr_backs, sizeof(struct patch_pc), 4))
        return "it is cut short";
    return NULL;
}
