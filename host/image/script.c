#include "image/script.h"

#include "lib/buf.h"
#include "lib/cleanup.h"

#include <string.h>

enum {
    SCRIPT_LINE_MAX = 255, /* BINPRM_BUF_SIZE less its NUL */
};

bool script_parse(const u8 *data, size_t len, struct script *out)
{
    static const char blanks[] = " \t\r";

    if (len < 3 || data[0] != '#' || data[1] != '!')
        return false;
    size_t limit = min(len, (size_t)SCRIPT_LINE_MAX);
    const u8 *newline = memchr(data, '\n', limit);
    size_t end = newline ? (size_t)(newline - data) : limit;
    char *line CLEANUP(mem_free) = str_printf("%.*s", (int)end - 2, (const char *)data + 2);

    for (size_t used = strlen(line); used && strchr(blanks, line[used - 1]);)
        line[--used] = 0;
    char *interpreter = line + strspn(line, blanks);
    size_t name = strcspn(interpreter, blanks);
    if (interpreter[0] != '/')
        return false;
    const char *argument = interpreter + name + strspn(interpreter + name, blanks);
    *out = (struct script){.interpreter = str_printf("%.*s", (int)name, interpreter),
                           .argument = *argument ? str_dup(argument) : NULL};
    return true;
}

void script_free(struct script *script)
{
    free(script->interpreter);
    free(script->argument);
    *script = (struct script){0};
}
