/* The command line, in Linux's syntax: words by blanks, double quotes keep blanks, with \" \\ \n \t
 * \xHH inside them; KEY=value; what follows a word "--" are the program's arguments. The parser is
 * a pure function over a buffer; the accessors below work on the boot line. */
#pragma once

#include "lib/types.h"

enum { CMDLINE_MAX_WORDS = 512 };

struct cmdline {
    u32 nr_options;                 /* words before "--" */
    u32 nr_words;                   /* all, without the "--" itself; arguments follow the options */
    u16 key_len[CMDLINE_MAX_WORDS]; /* of options: bytes before the '=', or all of the word */
    char *words[CMDLINE_MAX_WORDS]; /* into the buffer; quotes and escapes resolved */
};

/**
 * Split @text in place.  0, -E2BIG (too many words; the first ones are there) or -EINVAL (an open
 * quote or a bad escape, taken literally; all words are there).
 */
int cmdline_parse(struct cmdline *cl, char *text);

/** The value of the last option KEY=value, "" for a bare KEY, NULL if there is none. */
const char *cmdline_find(const struct cmdline *cl, const char *key);

/** True for the words the kernel itself understands, by the part before '='. */
bool cmdline_is_kernel_word(const char *word);

/** Keep a copy of the boot line and set loglevel; warn about unknown words.  At start. */
void cmdline_init(const char *text);

/** As cmdline_find, on the boot line. */
const char *cmdline_get(const char *key);

/** Number value of an option, decimal or 0x hex; @fallback if absent or malformed (warned about).
 */
u64 cmdline_get_u64(const char *key, u64 fallback);

/** All values of a repeated option: start *@pos at 0; NULL at the end. */
const char *cmdline_next(const char *key, u32 *pos);

/** The words KEY=value that become the program's environment: start *@pos at 0; NULL at the end. */
const char *cmdline_next_env(u32 *pos);

/** The program's arguments after "--": start *@pos at 0; NULL at the end. */
const char *cmdline_next_arg(u32 *pos);

/** The line as the boot loader gave it, for /proc/cmdline. */
const char *cmdline_text(void);
