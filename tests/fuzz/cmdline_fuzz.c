#include "fuzz/fuzz.h"

#include "core/cmdline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cmdline line;
    char *text = fuzz_text(data, size);

    cmdline_parse(&line, text);
    FUZZ_ASSERT(line.nr_words <= CMDLINE_MAX_WORDS && line.nr_options <= line.nr_words);
    for (u32 i = 0; i < line.nr_words; i++) {
        size_t left = size + 1 - (size_t)(line.words[i] - text);
        FUZZ_ASSERT(strnlen(line.words[i], left) < left);
        cmdline_is_kernel_word(line.words[i]);
    }
    cmdline_find(&line, "init");
    free(text);
    return 0;
}
