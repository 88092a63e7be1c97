#include "fuzz/fuzz.h"

#include "image/ingotfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ingotfile file = {0};
    struct err err = {0};
    char *text = malloc(size ? size : 1);

    memcpy(text, data, size);
    if (ingotfile_parse(text, size, &file, &err) == 0) {
        for (size_t i = 0; i < file.len; i++)
            FUZZ_ASSERT(file.lines[i].verb < INGOT_VERBS && file.lines[i].line > 0);
        ingotfile_free(&file);
    } else {
        FUZZ_ASSERT(!strncmp(err.text, "line ", 5) && file.len == 0);
    }
    free(text);
    return 0;
}
