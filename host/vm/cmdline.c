#include "vm/cmdline.h"

#include "lib/buf.h"

#include <ctype.h>
#include <string.h>

/* Parameters of Linux and of ours without a dot: as environment they would be misunderstood. */
static const char *const cmdline_reserved[] = {
    "console",     "loglevel",    "quiet",    "debug",       "root",          "rootfstype",
    "rootflags",   "ro",          "rw",       "init",        "rdinit",        "ip",
    "initrd",      "mem",         "maxcpus",  "nr_cpus",     "tsc_early_khz", "tsc",
    "panic",       "reboot",      "earlycon", "nokaslr",     "acpi",          "noapic",
    "clocksource", "pci",         "nolapic",  "mitigations", "nomodule",      "no_timer_check",
    "BOOT_IMAGE",  "earlyprintk",
};

static bool cmdline_is_plain(const char *word)
{
    for (; *word; word++)
        if (!isalnum((unsigned char)*word) && !strchr("_-./:,=+@%^~", *word))
            return false;
    return true;
}

static void cmdline_add_quoted(struct buf *line, const char *text)
{
    buf_puts(line, "\"");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            buf_printf(line, "\\%c", c);
        else if (c == '\n')
            buf_puts(line, "\\n");
        else if (c < ' ' || c == 0x7f)
            buf_printf(line, "\\x%02x", c);
        else
            buf_add(line, text, 1);
    }
    buf_puts(line, "\"");
}

static void cmdline_add_text(struct buf *line, const char *text)
{
    if (*text && cmdline_is_plain(text))
        buf_puts(line, text);
    else
        cmdline_add_quoted(line, text);
}

void cmdline_add(struct buf *line, const char *word)
{
    if (line->len)
        buf_puts(line, " ");
    cmdline_add_text(line, word);
}

void cmdline_add_pair(struct buf *line, const char *key, const char *value)
{
    if (line->len)
        buf_puts(line, " ");
    buf_printf(line, "%s=", key);
    if (*value)
        cmdline_add_text(line, value);
}

bool cmdline_env_fits(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            return false;
    for (size_t i = 0; i < ARRAY_LEN(cmdline_reserved); i++)
        if (strlen(cmdline_reserved[i]) == len && memcmp(cmdline_reserved[i], name, len) == 0)
            return false;
    return len > 0;
}
