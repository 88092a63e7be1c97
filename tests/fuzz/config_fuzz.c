#include "fuzz/fuzz.h"

#include "fake/cmdline.h"
#include "mm/heap.h"
#include "sys/config.h"

static void free_list(struct string_list *list)
{
    for (u32 i = 0; i < list->count; i++)
        kfree(list->items[i]);
    kfree(list->items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program_config config;
    char *json = malloc(size ? size : 1);
    size_t where = 0;

    if (!json)
        return 0;
    memcpy(json, data, size);
    fake_cmdline("A=1 console=ttyS0 -- argument");
    int err = config_load(&config, json, size, false, &where);
    FUZZ_ASSERT(err <= 0 && where <= size);
    if (config.stop_signal)
        signal_number(config.stop_signal);
    free_list(&config.argv);
    free_list(&config.env);
    kfree(config.cwd);
    kfree(config.stop_signal);
    kfree(config.user);
    free(json);
    return 0;
}
