#include "fuzz/fuzz.h"

#include "image/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image_config config = {0};
    struct err err = {0};
    char *text = malloc(size ? size : 1);

    memcpy(text, data, size);
    if (config_parse_text(text, size, &config, &err) == 0) {
        FUZZ_ASSERT(config.workdir && config.stopsignal);
        json_t *json = config_json(&config);
        json_decref(json);
        image_config_free(&config);
    } else {
        FUZZ_ASSERT(err.code);
    }
    free(text);
    return 0;
}
