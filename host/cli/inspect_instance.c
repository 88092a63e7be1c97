/* ingot inspect of an instance: a name means an instance before an image, as in Docker. */
#include "cli/inspect_priv.h"

#include "cli/instances.h"
#include "lib/cleanup.h"

int inspect_instance(const char *name, json_t *list, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};

    if (instance_open(&instance, name, NULL))
        return 0;
    json_t *json = instances_json(&instance, err);
    if (!json)
        return -err->code;
    json_array_append_new(list, json);
    return 1;
}
