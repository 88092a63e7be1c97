#include "fuzz/fuzz.h"

#include "image/patch/patch.h"

/* Any file: what comes out passes its own check, and whole pages are whole. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct buf out = {0};
    struct patch_header header;
    uint8_t *copy = malloc(size ? size : 1);

    memcpy(copy, data, size);
    int failed = patch_make("/fuzz", copy, size, &out, &err);
    FUZZ_ASSERT(!failed || err.text[0]);
    if (!failed && out.len) {
        FUZZ_ASSERT(patch_check(out.data, out.len, &header));
        FUZZ_ASSERT(header.sites >= header.sites_patched);
        FUZZ_ASSERT(header.pages_at + (u64)header.nr_pages * PATCH_PAGE == out.len);
    }
    buf_free(&out);
    free(copy);
    return 0;
}
