/* The boot line. */
#include "core/cmdline.h"

#include "abi/errno.h"
#include "core/chart.h"
#include "core/log.h"
#include "lib/string.h"
#include "plat/plat.h"

enum { LINE_SIZE = 4096 };

static struct cmdline boot_line; /* [I] */
static char boot_text[LINE_SIZE];
static const char *boot_original = "";

/* Environment: KEY=value that is not the kernel's, and whose key has no dot (those are somebody's
 * modules). */
static bool is_env(const char *word)
{
    const char *eq = strchr(word, '='), *dot = strchr(word, '.');

    return eq && eq != word && !(dot && dot < eq) && !cmdline_is_kernel_word(word);
}

static void warn_unknown(const char *word)
{
    if (cmdline_is_kernel_word(word) || is_env(word))
        return;
    if (str_starts(word, "ingot.") || !strchr(word, '='))
        log_warn("command line: unknown word '%s'", word);
}

enum { MORE_THAN_A_LOG = 8 }; /* added to loglevel: marks of the start, and samples */

void cmdline_init(const char *text)
{
    boot_original = text;
    if (str_copy(boot_text, text, sizeof(boot_text)) >= sizeof(boot_text))
        log_warn("command line: cut off after %d bytes", LINE_SIZE - 1);
    int err = cmdline_parse(&boot_line, boot_text);

    loglevel = (u32)cmdline_get_u64("loglevel", cmdline_get("quiet") ? 4 : loglevel);
    if (unlikely(loglevel >= MORE_THAN_A_LOG)) {
        loglevel -= MORE_THAN_A_LOG;
        chart_wanted = true;
    }
    if (err)
        log_warn("command line: %s", err == -E2BIG ? "too many words" : "bad quotes or escapes");
    for (u32 i = 0; i < boot_line.nr_options; i++)
        warn_unknown(boot_line.words[i]);
}

const char *cmdline_get(const char *key)
{
    return cmdline_find(&boot_line, key);
}

u64 cmdline_get_u64(const char *key, u64 fallback)
{
    const char *text = cmdline_get(key);
    u64 value;

    if (!text)
        return fallback;
    if (str_to_u64(text, &value)) {
        log_warn("command line: %s='%s' is not a number", key, text);
        return fallback;
    }
    return value;
}

const char *cmdline_next(const char *key, u32 *pos)
{
    size_t len = strlen(key);

    while (*pos < boot_line.nr_options) {
        u32 i = (*pos)++;
        const char *w = boot_line.words[i];
        if (boot_line.key_len[i] == len && w[len] == '=' && !memcmp(w, key, len))
            return w + len + 1;
    }
    return NULL;
}

const char *cmdline_next_env(u32 *pos)
{
    while (*pos < boot_line.nr_options) {
        const char *w = boot_line.words[(*pos)++];
        if (is_env(w))
            return w;
    }
    return NULL;
}

const char *cmdline_next_arg(u32 *pos)
{
    u32 i = boot_line.nr_options + *pos;

    if (i >= boot_line.nr_words)
        return NULL;
    (*pos)++;
    return boot_line.words[i];
}

const char *cmdline_text(void)
{
    return boot_original;
}
