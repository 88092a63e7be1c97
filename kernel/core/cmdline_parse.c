/* The parser, apart from the boot line, so that unit tests and the fuzzer need nothing else. */
#include "abi/errno.h"
#include "core/cmdline.h"
#include "lib/string.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* @p is behind the backslash.  Puts the character into *@out and returns what follows, or NULL if
 * this is no escape of ours. */
static const char *read_escape(const char *p, char *out)
{
    switch (*p) {
    case '"':
    case '\\':
        *out = *p;
        return p + 1;
    case 'n':
        *out = '\n';
        return p + 1;
    case 't':
        *out = '\t';
        return p + 1;
    case 'x':
        if (hex_digit(p[1]) < 0 || hex_digit(p[2]) < 0 || (p[1] == '0' && p[2] == '0'))
            return NULL;
        *out = (char)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
        return p + 3;
    default:
        return NULL;
    }
}

/* Resolve one word in place; @p moves behind it.  The result never outgrows its source. */
static int read_word(const char **p, char *to, char **end)
{
    bool quoted = false;
    int err = 0;
    const char *s = *p;

    while (*s && (quoted || !is_blank(*s))) {
        const char *next = NULL;
        if (*s == '"') {
            quoted = !quoted;
            s++;
            continue;
        }
        if (quoted && *s == '\\') {
            next = read_escape(s + 1, to);
            if (!next)
                err = -EINVAL;
        }
        if (next) {
            s = next;
            to++;
        } else {
            *to++ = *s++;
        }
    }
    *p = s;
    *end = to;
    return quoted ? -EINVAL : err;
}

int cmdline_parse(struct cmdline *cl, char *text)
{
    const char *p = text;
    bool dashes = false;
    int err = 0;

    cl->nr_words = cl->nr_options = 0;
    for (;;) {
        while (is_blank(*p))
            p++;
        if (!*p)
            return err;
        if (cl->nr_words == CMDLINE_MAX_WORDS)
            return -E2BIG;

        char *word = text + (p - text), *end;
        int word_err = read_word(&p, word, &end);
        if (word_err)
            err = word_err;
        if (*p)
            p++; /* the blank that the NUL below may replace */
        *end = '\0';
        if (!dashes && !strcmp(word, "--")) {
            dashes = true;
            continue;
        }
        cl->words[cl->nr_words++] = word;
        if (!dashes)
            cl->nr_options = cl->nr_words;
    }
}

const char *cmdline_find(const struct cmdline *cl, const char *key)
{
    size_t len = strlen(key);

    for (u32 i = cl->nr_options; i-- > 0;) {
        const char *w = cl->words[i];
        if (*w != *key || strncmp(w, key, len))
            continue;
        if (w[len] == '=')
            return w + len + 1;
        if (!w[len])
            return w + len;
    }
    return NULL;
}

/* What we act on, and what Linux guests commonly get and we may ignore. */
static const char *const kernel_words[] = {
    "console",
    "loglevel",
    "quiet",
    "debug",
    "root",
    "rootfstype",
    "rootflags",
    "ro",
    "rw",
    "init",
    "ip",
    "tsc_early_khz",
    "tsc",
    "panic",
    "reboot",
    "earlyprintk",
    "earlycon",
    "nokaslr",
    "acpi",
    "pci",
    "virtio_mmio.device",
    "noapic",
    "nolapic",
    "rdinit",
    "mitigations",
    "nomodule",
    "no_timer_check",
    "noreplace-smp",
    "maxcpus",
    "clocksource",
    "i8042.noaux",
    "i8042.nomux",
    "i8042.dumbkbd",
    "i8042.nopnp",
    "random.trust_cpu",
    "ingot.config",
    "ingot.cwd",
    "ingot.hostname",
    "ingot.trace",
    "ingot.missing",
    "ingot.screen",
    "ingot.seal",
    "ingot.exec",
    "ingot.single",
    "ingot.pids",
    "ingot.stopsignal",
    "ingot.entropy",
    "ingot.layer",
    "ingot.mount",
    "ingot.share",
    "ingot.tmpfs",
    "ingot.columns",
    "ingot.rows",
    "ingot.ip6",
    "ingot.net",
    "ingot.profile",
    "ingot.report",
    "BOOT_IMAGE",
    "initrd",
    "rcupdate.rcu_expedited",
};

bool cmdline_is_kernel_word(const char *word)
{
    const char *eq = strchr(word, '=');
    size_t len = eq ? (size_t)(eq - word) : strlen(word);

    for (size_t i = 0; i < ARRAY_LEN(kernel_words); i++)
        if (*kernel_words[i] == *word && !strncmp(kernel_words[i], word, len) &&
            !kernel_words[i][len])
            return true;
    return false;
}
