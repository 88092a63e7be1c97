#include "fuzz/fuzz.h"

#include "image/elf_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_file file;
    struct err err = {0};
    uint8_t *copy = malloc(size ? size : 1);
    size_t total = 0;

    memcpy(copy, data, size);
    if (elf_parse(copy, size, &file, &err) == 0) {
        for (size_t i = 0; i < file.nr_needed; i++)
            total += strlen(file.needed[i]);
        if (file.interp)
            total += strlen(file.interp);
        if (file.soname)
            total += strlen(file.soname);
        if (file.runpath)
            total += strlen(file.runpath);
        elf_names(&file, "main");
        elf_file_free(&file);
    } else {
        FUZZ_ASSERT(err.code && err.text[0]);
    }
    free(copy);
    return total == SIZE_MAX;
}
