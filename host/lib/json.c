#include "lib/json.h"

#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/types.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

const char *json_str(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : otherwise;
}

json_int_t json_int(const json_t *object, const char *key, json_int_t otherwise)
{
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool json_strs(const json_t *object, const char *key, struct strs *out)
{
    const json_t *array = json_object_get(object, key), *entry;
    size_t i;

    if (!array || json_is_null(array))
        return true;
    if (!json_is_array(array))
        return false;
    json_array_foreach(array, i, entry)
    {
        if (!json_is_string(entry))
            return false;
        strs_add(out, json_string_value(entry));
    }
    return true;
}

json_t *json_from_strs(const struct strs *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->len; i++)
        json_array_append_new(array, json_string(list->at[i]));
    return array;
}

json_t *json_read(const char *path, struct err *err)
{
    struct buf text CLEANUP(buf_free) = {0};
    const void *random = (const void *)getauxval(AT_RANDOM);
    json_error_t why;
    size_t seed = 0;

    if (random)
        memcpy(&seed, random, sizeof(seed));
    json_object_seed(seed); /* else it opens /dev/urandom */
    if (fs_read(path, MIB(16), &text, err) < 0)
        return NULL;
    json_t *root = json_loadb(buf_text(&text), text.len, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        err_set(err, EINVAL, "%s: line %d: not valid JSON: %s", path, why.line, why.text);
    return root;
}

char *json_text(const json_t *json, int indent)
{
    char *text =
        json_dumps(json, JSON_SORT_KEYS | JSON_ENCODE_ANY |
                             (indent ? (size_t)JSON_INDENT(indent) : (size_t)JSON_COMPACT));

    return text ? text : str_dup("null");
}
