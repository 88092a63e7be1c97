/* gdb on a core file of a crash report: with the program where this machine has it, and for a panic
 * the kernel's symbols at the place that the report names. */
#include "cli/debug.h"

#include "cli/run_priv.h"

#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"
#include "vm/symbols.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORT_MAX = 16 << 20 };

/* "crash-1.core" has its report beside it, and a report its core file. */
static int name_both(const char *path, char **core, char **report, struct err *err)
{
    static const char of_core[] = ".core", of_report[] = ".txt";
    bool is_report = str_ends(path, of_report);
    int len = (int)(strlen(path) - strlen(is_report ? of_report : of_core));

    if (!is_report && !str_ends(path, of_core))
        return err_set(err, EINVAL, "'%s' is neither crash-N.core nor crash-N.txt", path);
    *core = str_printf("%.*s%s", len, path, of_core);
    *report = str_printf("%.*s%s", len, path, of_report);
    return fs_exists(*core) ? 0 : err_set(err, ENOENT, "there is no '%s'", *core);
}

/* The program, by the report's "guest: NAME, of PATH" or its memory map: NULL if this machine does
 * not have it. */
static char *find_program(const char *text)
{
    const char *guest = str_starts(text, "guest: ") ? text + strlen("guest: ") : "";
    char *title CLEANUP(mem_free) = str_printf("%.*s", (int)strcspn(guest, "\n"), guest);
    const char *of = strstr(title, ", of ");
    const char *path = of ? of + strlen(", of ") : title;

    if (path[0] == '/' && fs_exists(path) && !fs_is_dir(path))
        return str_dup(path);
    const char *map = strstr(text, "memory map:\n");
    const char *slash = map ? strstr(map, " 00000000 /") : NULL;
    if (!slash)
        return NULL;
    slash = strchr(slash, '/');
    char *mapped CLEANUP(mem_free) = str_printf("%.*s", (int)strcspn(slash, "\n"), slash);
    return fs_exists(mapped) ? TAKE(mapped, NULL) : NULL;
}

static int add_kernel(struct strs *argv, const char *text, struct err *err)
{
    static const char words[] = "kernel+0 is at ";
    const char *at = strstr(text, words);

    if (!at)
        return 0;
    char *kernel CLEANUP(mem_free) = run_find_kernel(NULL, err);
    if (!kernel)
        return -err->code;
    struct symbols symbols CLEANUP(symbols_fini) = {0};
    symbols_load(&symbols, kernel);
    u64 offset = strtoull(at + strlen(words), NULL, 16) - symbols.base;
    strs_add(argv, "-ex");
    strs_take(argv, str_printf("add-symbol-file %s -o 0x%llx", kernel, (unsigned long long)offset));
    return 0;
}

int debug_core(const char *path, const char *gdb, char *const *words, struct strs *argv,
               struct err *err)
{
    char *core CLEANUP(mem_free) = NULL, *report CLEANUP(mem_free) = NULL;
    struct buf text CLEANUP(buf_free) = {0};
    int failed = name_both(path, &core, &report, err);

    if (!failed)
        failed = fs_read(report, REPORT_MAX, &text, err);
    if (failed)
        return failed;
    char *program CLEANUP(mem_free) = find_program(buf_text(&text));
    strs_add(argv, gdb);
    strs_add(argv, "-q");
    strs_add(argv, "-iex");
    strs_add(argv, "set confirm off");
    if (program)
        strs_take(argv, str_printf("-se=%s", program));
    strs_take(argv, str_printf("-core=%s", core));
    failed = add_kernel(argv, buf_text(&text), err);
    for (; !failed && *words; words++)
        strs_add(argv, *words);
    return failed;
}
