/* A layer of a container image: two of them, the input and once more the input, on one tree.  Files
 * may come to be in the scratch folder only. */
#include "fuzz/fuzz.h"

#include "image/layer.h"
#include "image/tar.h"
#include "image/tree.h"
#include "lib/fs.h"

#include <stdio.h>

/* Damaged checksums would hide everything behind them: write down right ones. */
static void mend_sums(uint8_t *data, size_t size)
{
    for (size_t at = 0; size - at >= 512; at += 512) {
        uint8_t *header = data + at;
        unsigned sum = 8 * ' ';

        if (header[257] != 'u' || header[258] != 's')
            continue;
        for (size_t i = 0; i < 512; i++)
            sum += i >= 148 && i < 156 ? 0 : header[i];
        snprintf((char *)header + 148, 8, "%06o", sum);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *scratch;
    uint8_t *copy = malloc(size ? size : 1);
    struct tree tree = {0};
    struct err err = {0};
    size_t count = 0;

    if (!scratch)
        scratch = fs_tmpdir(NULL, &err);
    if (!copy || !scratch)
        abort();
    memcpy(copy, data, size);
    mend_sums(copy, size);
    for (int i = 0; i < 2; i++) {
        const struct slice bytes = {copy, size};
        if (layer_apply(&tree, &bytes, scratch, &count, &err))
            FUZZ_ASSERT(err.code && err.text[0]);
    }
    for (size_t i = 0; i < tree.len; i++) {
        const struct tree_node *node = tree.nodes[i];
        FUZZ_ASSERT(node->path[0] == '/' && !strstr(node->path, "/../"));
        FUZZ_ASSERT(node->kind != TREE_FILE ||
                    strncmp(node->source, scratch, strlen(scratch)) == 0);
    }
    tree_free(&tree);
    free(copy);
    return 0;
}
