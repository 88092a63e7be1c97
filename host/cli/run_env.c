/* Environment words and sizes, as Docker reads them. */
#include "cli/run_priv.h"

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENV_FILE_MAX = 1 << 20,
};

bool run_parse_size(const char *text, u64 *bytes)
{
    static const struct {
        char letter;
        unsigned shift;
    } units[] = {{'b', 0}, {'k', 10}, {'m', 20}, {'g', 30}, {'t', 40}};
    char *end;

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno)
        return false;
    unsigned shift = 0;
    for (size_t i = 0; *end && i < ARRAY_LEN(units); i++)
        if (tolower((unsigned char)*end) == units[i].letter) {
            shift = units[i].shift;
            end++;
            /* "MiB" and "MB" mean what "M" means, as everywhere around memory. */
            end += *end == 'i' && end[1] ? 1 : 0;
            end += *end == 'B' || *end == 'b';
            break;
        }
    *bytes = value << shift;
    return !*end && *bytes >> shift == value;
}

static int run_env_word(struct strs *env, const char *word, struct err *err)
{
    if (!*word || *word == '=')
        return err_set(err, ERR_USAGE, "environment: '%s' has no name", word);
    if (strchr(word, '=')) {
        strs_add(env, word);
        return 0;
    }
    const char *ours = getenv(word);
    if (ours)
        strs_take(env, str_printf("%s=%s", word, ours));
    return 0;
}

static int run_env_file(struct strs *env, const char *path, struct err *err)
{
    struct buf text CLEANUP(buf_free) = {0};
    int failed = fs_read(path, ENV_FILE_MAX, &text, err);

    if (failed)
        return failed;
    unsigned number = 0;
    char *rest = text.data;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        number++;
        line += strspn(line, " \t\r");
        line[strcspn(line, "\r")] = 0;
        if (!*line || *line == '#')
            continue;
        failed = run_env_word(env, line, err);
        if (failed)
            return err_prefix(err, "%s: line %u", path, number);
    }
    return 0;
}

int run_environment(const struct run_options *options, struct strs *env, struct err *err)
{
    int failed = 0;

    for (size_t i = 0; i < options->env_files.len && !failed; i++)
        failed = run_env_file(env, options->env_files.at[i], err);
    for (size_t i = 0; i < options->env.len && !failed; i++)
        failed = run_env_word(env, options->env.at[i], err);
    return failed;
}
