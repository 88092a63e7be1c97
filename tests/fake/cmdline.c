/* The accessors of core/cmdline.h over a line that the test gives. */
#include "fake/cmdline.h"

#include "core/cmdline.h"
#include "core/hostname.h"

#include <stdlib.h>
#include <string.h>

char hostname[HOSTNAME_MAX + 1] = "unit";

static struct cmdline line;
static char *line_text;

static void free_line(void)
{
    free(line_text);
    line_text = NULL;
}

void fake_cmdline(const char *text)
{
    free_line();
    line_text = strdup(text);
    atexit(free_line);
    cmdline_parse(&line, line_text);
}

const char *cmdline_get(const char *key)
{
    return cmdline_find(&line, key);
}

const char *cmdline_next_arg(u32 *pos)
{
    u32 i = line.nr_options + *pos;
    return i < line.nr_words ? (++*pos, line.words[i]) : NULL;
}

const char *cmdline_next_env(u32 *pos)
{
    while (*pos < line.nr_options) {
        const char *word = line.words[(*pos)++];
        const char *equals = strchr(word, '='), *dot = strchr(word, '.');
        if (equals && (!dot || dot > equals) && !cmdline_is_kernel_word(word))
            return word;
    }
    return NULL;
}
