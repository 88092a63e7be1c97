/* How scripts of a language name their modules, and where those lie on this machine. */
#pragma once

#include <stdbool.h>

enum {
    LANGUAGE_PATTERNS = 5,
    LANGUAGE_GROUPS = 4,
    LANGUAGE_FILES = 6,
    LANGUAGE_ROOTS = 6,
};

struct language {
    const char *name;
    const char *interpreter;                 /* POSIX extended, of its whole file name */
    const char *program;                     /* its usual path */
    const char *suffixes[6];                 /* of scripts; NULL-terminated, as all lists here */
    const char *separator;                   /* between a name's parts, "/" in its path; or NULL */
    const char *patterns[LANGUAGE_PATTERNS]; /* the last group: a name, or names and commas */
    const char *files[LANGUAGE_FILES];       /* what may follow the path: ".py", "/__init__.py" */
    bool top_folder;                         /* the folder of a name's first part comes whole */
    const char *local_packages; /* a folder beside the script that comes whole; or NULL */
    struct {
        const char *glob;  /* a folder that modules lie in */
        const char *whole; /* what to bring (a glob) if no package owns a module in it */
    } roots[LANGUAGE_ROOTS];
    const char *beside;   /* such a folder below that of an interpreter elsewhere; or NULL */
    bool names_programs;  /* its names are those of programs in PATH, which it starts */
    bool together;        /* what is installed finds the rest by itself: all roots come whole */
    const char *packages; /* which needed packages are of the language: fnmatch(3); or NULL */
};

/** By a script's or an interpreter's file name, folders allowed before it; or NULL. */
const struct language *language_of(const char *path);

/** What runs a script that is called @path: an absolute path, or NULL if it is called no script. */
const char *language_interpreter(const char *path);

/** Is @name one of a program that a script in @language may start here, found in PATH? */
bool language_starts(const struct language *language, const char *name);

/** By its own name; or NULL. */
const struct language *language_named(const char *name);

/** The path that a module's name means, below a root; owned by the caller. */
char *language_path(const struct language *language, const char *name);
