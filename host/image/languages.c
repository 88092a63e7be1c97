#include "image/languages.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"
#include "lib/types.h"

#include <regex.h>
#include <string.h>

#define BLANK "[ \t]"

static const struct language languages[] = {
    {
        .name = "python",
        .program = "/usr/bin/python3",
        .interpreter = "python(3(\\.[0-9]+)?)?",
        .suffixes = {".py"},
        .separator = ".",
        .patterns = {"^" BLANK "*import" BLANK "+([A-Za-z_].*)",
                     "^" BLANK "*from" BLANK "+([A-Za-z_][A-Za-z0-9_.]*)" BLANK "+import"},
        .files = {".py", "/__init__.py", ".cpython-*.so", ".abi3.so"},
        .top_folder = true,
        .roots = {{"/usr/lib/python3/dist-packages", "/usr/lib/python3/dist-packages"},
                  {"/usr/local/lib/python3*/dist-packages",
                   "/usr/local/lib/python3*/dist-packages"}},
        .beside = "lib/python3*/site-packages",
        .packages = "python3-*",
    },
    {
        .name = "ruby",
        .program = "/usr/bin/ruby",
        .interpreter = "ruby([0-9.]*)",
        .suffixes = {".rb", ".ru"},
        .patterns = {"(^|" BLANK ")require" BLANK "*\\(?" BLANK "*['\"]([^'\"]+)['\"]",
                     "(^|" BLANK ")require_relative" BLANK "*\\(?" BLANK "*['\"]([^'\"]+)['\"]"},
        .files = {".rb", ".so", ""},
        .roots = {{"/usr/lib/ruby/vendor_ruby", "/usr/lib/ruby/vendor_ruby"},
                  {"/usr/share/rubygems-integration/all/gems/*/lib",
                   "/usr/share/rubygems-integration"},
                  {"/usr/lib/x86_64-linux-gnu/rubygems-integration/*/gems/*/lib",
                   "/usr/lib/x86_64-linux-gnu/rubygems-integration"},
                  {"/var/lib/gems/*/gems/*/lib", "/var/lib/gems"}},
        .together = true,
        .packages = "ruby-*",
    },
    {
        .name = "perl",
        .program = "/usr/bin/perl",
        .interpreter = "perl(5[0-9.]*)?",
        .suffixes = {".pl", ".pm", ".psgi"},
        .separator = "::",
        .patterns = {"^" BLANK "*use" BLANK "+([A-Za-z_][A-Za-z0-9_:]*)",
                     "^" BLANK "*require" BLANK "+([A-Za-z_][A-Za-z0-9_:]*)"},
        .files = {".pm"},
        .roots = {{"/usr/share/perl5", "/usr/share/perl5"},
                  {"/usr/lib/x86_64-linux-gnu/perl5/5.*", "/usr/lib/x86_64-linux-gnu/perl5"},
                  {"/usr/local/share/perl/5.*", "/usr/local/share/perl"},
                  {"/usr/local/lib/x86_64-linux-gnu/perl/5.*",
                   "/usr/local/lib/x86_64-linux-gnu/perl"}},
        .packages = "lib*-perl",
    },
    {
        .name = "node",
        .program = "/usr/bin/node",
        .interpreter = "node|nodejs",
        .suffixes = {".js", ".mjs", ".cjs"},
        .patterns = {"require" BLANK "*\\(" BLANK "*['\"`]([^'\"`]+)['\"`]",
                     "from" BLANK "*['\"]([^'\"]+)['\"]",
                     "import" BLANK "*\\(?" BLANK "*['\"]([^'\"]+)['\"]"},
        .files = {"", ".js", ".mjs", ".cjs", ".json"},
        .local_packages = "node_modules",
        .roots = {{"/usr/share/nodejs", "/usr/share/nodejs"},
                  {"/usr/lib/nodejs", "/usr/lib/nodejs"},
                  {"/usr/local/lib/node_modules", "/usr/local/lib/node_modules"}},
        .packages = "node-*",
    },
    {
        .name = "lua",
        .program = "/usr/bin/lua",
        .interpreter = "lua(5\\.[0-9])?|luajit",
        .suffixes = {".lua"},
        .separator = ".",
        .patterns = {"require" BLANK "*\\(?" BLANK "*['\"]([^'\"]+)['\"]"},
        .files = {".lua", "/init.lua", ".so"},
        .roots = {{"/usr/share/lua/5.[0-9]", "/usr/share/lua"},
                  {"/usr/lib/x86_64-linux-gnu/lua/5.[0-9]", "/usr/lib/x86_64-linux-gnu/lua"},
                  {"/usr/local/share/lua/5.[0-9]", "/usr/local/share/lua"},
                  {"/usr/local/lib/lua/5.[0-9]", "/usr/local/lib/lua"}},
        .packages = "lua*",
    },
    {
        /* its modules are archives, named by their paths */
        .name = "java",
        .program = "/usr/bin/java",
        .interpreter = "java",
        .packages = "lib*-java",
    },
    {
        .name = "shell",
        .program = "/bin/sh",
        .interpreter = "(ba|da|z|k|fi)?sh",
        .suffixes = {".sh", ".bash", ".zsh", ".fish"},
        /* A word where a command may stand. */
        .patterns = {"(^|[|&({`!]|[^a-z](then|do|else|elif|if|while|until|xargs|exec|time|nice|env|"
                     "nohup)" BLANK ")" BLANK "*([A-Za-z0-9_.+-]+)",
                     "^" BLANK
                     "*(then|do|else|elif|if|while|until|xargs|exec|time|nice|env|nohup)" BLANK
                     "+([A-Za-z0-9_.+-]+)"},
        .names_programs = true,
    },
    {
        .name = "make",
        .program = "/usr/bin/make",
        .interpreter = "g?make|[Mm]akefile|GNUmakefile",
        .suffixes = {".mk"},
        /* A word where a command of a recipe may stand, or of $(shell ...). */
        .patterns = {"^" BLANK "+[@+-]*" BLANK "*([A-Za-z0-9_.+-]+)",
                     "[|&]" BLANK "*([A-Za-z0-9_.+-]+)", "shell" BLANK "+([A-Za-z0-9_.+-]+)"},
        .names_programs = true,
    },
};

const struct language *language_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(languages); i++)
        if (strcmp(languages[i].name, name) == 0)
            return &languages[i];
    return NULL;
}

static bool is_interpreter(const struct language *language, const char *name)
{
    char *whole CLEANUP(mem_free) = str_printf("^(%s)$", language->interpreter);
    regex_t regex;

    if (regcomp(&regex, whole, REG_EXTENDED | REG_NOSUB))
        return false;
    bool hit = regexec(&regex, name, 0, NULL, 0) == 0;
    regfree(&regex);
    return hit;
}

const struct language *language_of(const char *path)
{
    const char *name = fs_name(path);

    for (size_t i = 0; i < ARRAY_LEN(languages); i++) {
        for (const char *const *suffix = languages[i].suffixes; *suffix; suffix++)
            if (str_ends(name, *suffix))
                return &languages[i];
        if (is_interpreter(&languages[i], name))
            return &languages[i];
    }
    return NULL;
}

const char *language_interpreter(const char *path)
{
    const struct language *language = language_of(path);

    return language && !is_interpreter(language, fs_name(path)) ? language->program : NULL;
}

bool language_starts(const struct language *language, const char *name)
{
    char *found CLEANUP(mem_free) = language->names_programs ? proc_find(name, NULL) : NULL;

    return found;
}

char *language_path(const struct language *language, const char *name)
{
    const char *separator = language->separator;
    struct buf path = {0};

    while (*name) {
        bool cut = separator && str_starts(name, separator);
        buf_add(&path, cut ? "/" : name, 1);
        name += cut ? strlen(separator) : 1;
    }
    return buf_take(&path);
}
