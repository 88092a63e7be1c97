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

/* Bytes before the '=', or all. */
static size_t key_length(const char *word)
{
    size_t len = 0;

    while (word[len] && word[len] != '=')
        len++;
    return len;
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
        if (!dashes) {
            cl->key_len[cl->nr_words] = (u16)key_length(word);
            cl->nr_options = cl->nr_words + 1;
        }
        cl->words[cl->nr_words++] = word;
    }
}

const char *cmdline_find(const struct cmdline *cl, const char *key)
{
    size_t len = strlen(key);

    for (u32 i = cl->nr_options; i-- > 0;) {
        const char *w = cl->words[i];
        if (cl->key_len[i] == len && !memcmp(w, key, len)) /* most differ in length */
            return w[len] ? w + len + 1 : w + len;
    }
    return NULL;
}

/* What we act on, and what Linux guests commonly get and we may ignore. */
#define WORD(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct {
    const char *text;
    size_t len;
} kernel_words[] = {
    WORD("console"),
    WORD("loglevel"),
    WORD("quiet"),
    WORD("debug"),
    WORD("root"),
    WORD("rootfstype"),
    WORD("rootflags"),
    WORD("ro"),
    WORD("rw"),
    WORD("init"),
    WORD("ip"),
    WORD("tsc_early_khz"),
    WORD("tsc"),
    WORD("panic"),
    WORD("reboot"),
    WORD("earlyprintk"),
    WORD("earlycon"),
    WORD("nokaslr"),
    WORD("acpi"),
    WORD("pci"),
    WORD("virtio_mmio.device"),
    WORD("noapic"),
    WORD("nolapic"),
    WORD("rdinit"),
    WORD("mitigations"),
    WORD("nomodule"),
    WORD("no_timer_check"),
    WORD("noreplace-smp"),
    WORD("maxcpus"),
    WORD("clocksource"),
    WORD("i8042.noaux"),
    WORD("i8042.nomux"),
    WORD("i8042.dumbkbd"),
    WORD("i8042.nopnp"),
    WORD("random.trust_cpu"),
    WORD("ingot.config"),
    WORD("ingot.cwd"),
    WORD("ingot.hostname"),
    WORD("ingot.trace"),
    WORD("ingot.missing"),
    WORD("ingot.screen"),
    WORD("ingot.seal"),
    WORD("ingot.exec"),
    WORD("ingot.single"),
    WORD("ingot.pids"),
    WORD("ingot.stopsignal"),
    WORD("ingot.user"),
    WORD("ingot.entropy"),
    WORD("ingot.layer"),
    WORD("ingot.mount"),
    WORD("ingot.share"),
    WORD("ingot.tmpfs"),
    WORD("ingot.columns"),
    WORD("ingot.rows"),
    WORD("ingot.ip6"),
    WORD("ingot.net"),
    WORD("ingot.profile"),
    WORD("ingot.report"),
    WORD("BOOT_IMAGE"),
    WORD("initrd"),
    WORD("initrdmem"),
    WORD("rcupdate.rcu_expedited"),
};
#undef WORD

bool cmdline_is_kernel_word(const char *word)
{
    size_t len = key_length(word);

    for (size_t i = 0; i < ARRAY_LEN(kernel_words); i++)
        if (kernel_words[i].len == len && !memcmp(kernel_words[i].text, word, len))
            return true;
    return false;
}
