#include "image/reference.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/types.h"

#include <ctype.h>
#include <string.h>

enum {
    REFERENCE_MAX = 255,
    TAG_MAX = 128,
};

const char *reference_tag(const char *name)
{
    const char *slash = strrchr(name, '/');

    return strchr(slash ? slash : name, ':');
}

static bool name_char(char c)
{
    return islower((u8)c) || isdigit((u8)c);
}

/* Lower case words, joined by one of ". _ - / :", beginning and ending with a word. */
static bool name_valid(const char *name, size_t len)
{
    if (len == 0 || !name_char(name[0]) || !name_char(name[len - 1]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!name_char(name[i]) && !strchr("._-/:", name[i]))
            return false;
    return true;
}

static bool tag_valid(const char *tag)
{
    if (!isalnum((u8)tag[0]) && tag[0] != '_')
        return false;
    for (const char *c = tag; *c; c++)
        if (!isalnum((u8)*c) && !strchr("._-", *c))
            return false;
    return strlen(tag) <= TAG_MAX;
}

char *reference_full(const char *text, struct err *err)
{
    const char *tag = reference_tag(text);
    size_t len = tag ? (size_t)(tag - text) : strlen(text);

    if (strlen(text) > REFERENCE_MAX || !name_valid(text, len) || (tag && !tag_valid(tag + 1))) {
        err_set(err, ERR_USAGE,
                "'%s' is no image name; write name:tag in lower-case letters, digits and '._-/'",
                text);
        return NULL;
    }
    return str_printf("%s%s", text, tag ? "" : ":latest");
}

char *reference_from(const char *text)
{
    struct buf out = {0};

    for (const char *c = text; *c && out.len < TAG_MAX; c++) {
        char lower = (char)tolower((u8)*c);
        bool word = name_char(lower);
        if (word || (out.len && strchr("._-", lower)))
            buf_add(&out, &lower, 1);
    }
    while (out.len && !name_char(out.data[out.len - 1]))
        out.data[--out.len] = 0;
    if (!out.len)
        buf_puts(&out, "image");
    return buf_take(&out);
}
