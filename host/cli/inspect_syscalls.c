/* ingot inspect --syscalls: what the patches in an image tell about the calls it can make. */
#include "cli/inspect_priv.h"

#include "image/elf_file.h"
#include "image/erofs_read.h"
#include "image/patch/add.h"
#include "image/patch/names.h"
#include "image/patch/patch.h"
#include "lib/cleanup.h"

#include <stdio.h>

struct survey {
    const struct erofs_view *layer;
    json_t *objects;
    u64 calls[PATCH_CALLS / 64];
    u64 sites, patched, unknown;
};

static void survey_add(struct survey *s, const struct patch_header *h)
{
    json_array_append_new(s->objects,
                          json_pack("{s:s, s:i, s:i, s:i, s:i}", "Path", h->name, "Sites",
                                    (int)h->sites, "Patched", (int)h->sites_patched, "Left",
                                    (int)(h->sites - h->sites_patched), "NumberUnknown",
                                    (int)h->sites_unknown));
    for (size_t i = 0; i < ARRAY_LEN(s->calls); i++)
        s->calls[i] |= h->calls[i];
    s->sites += h->sites;
    s->patched += h->sites_patched;
    s->unknown += h->sites_unknown;
}

static void survey_file(void *arg, const char *name)
{
    struct survey *s = arg;
    struct buf patch CLEANUP(buf_free) = {0};
    char *path CLEANUP(mem_free) = str_printf(PATCH_PATH "/%s", name);
    struct patch_header header;

    if (str_ends(name, PATCH_SUFFIX) && erofs_read(s->layer, path, &patch) &&
        patch_check(patch.data, patch.len, &header))
        survey_add(s, &header);
}

static json_t *survey_calls(const struct survey *s)
{
    json_t *calls = json_array();

    for (u32 nr = 0; nr < PATCH_CALLS; nr++) {
        if (!(s->calls[nr / 64] >> nr % 64 & 1))
            continue;
        char number[16];
        snprintf(number, sizeof(number), "%u", nr);
        json_array_append_new(calls, json_string(syscall_names[nr] ? syscall_names[nr] : number));
    }
    return calls;
}

int inspect_syscalls(const struct image *image, json_t *list, struct err *err)
{
    struct survey s = {.objects = json_array()};

    for (size_t i = 0; i < image->layers.len; i++) {
        struct elf_map map CLEANUP(elf_unmap) = {0};
        int failed = elf_map(image->layers.at[i], &map, err);
        if (failed) {
            json_decref(s.objects);
            return failed;
        }
        const struct erofs_view view = {map.data, map.len};
        s.layer = &view;
        erofs_list(&view, PATCH_PATH, survey_file, &s); /* no folder: nothing is known */
    }
    char *id CLEANUP(mem_free) = str_printf("sha256:%s", image->id);
    json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "Id", id, "Sites",
                                          (json_int_t)s.sites, "Patched", (json_int_t)s.patched,
                                          "Left", (json_int_t)(s.sites - s.patched),
                                          "NumberUnknown", (json_int_t)s.unknown, "Calls",
                                          survey_calls(&s), "Objects", s.objects));
    return 0;
}
