#include "lib/format.h"

#include "lib/string.h"

/* Where the text goes: counts on past the end of the buffer. */
struct sink {
    char *buf;
    size_t size;
    size_t len;
};

/* One conversion, as parsed. */
struct spec {
    bool left, zero, alt, upper;
    char sign;     /* ' ' or '+' for non-negative numbers, else 0 */
    int width;     /* at least so many characters */
    int precision; /* -1: none given */
    int size;      /* bytes of the integer */
};

static void put(struct sink *s, char c)
{
    if (s->len + 1 < s->size)
        s->buf[s->len] = c;
    s->len++;
}

static void put_many(struct sink *s, char c, int n)
{
    while (n-- > 0)
        put(s, c);
}

static void put_string(struct sink *s, const struct spec *f, const char *text)
{
    if (!text)
        text = "(null)";
    size_t limit = f->precision < 0 ? SIZE_MAX : (size_t)f->precision;
    int len = (int)min(strnlen(text, limit), (size_t)INT_MAX / 2);

    if (!f->left)
        put_many(s, ' ', f->width - len);
    for (int i = 0; i < len; i++)
        put(s, text[i]);
    if (f->left)
        put_many(s, ' ', f->width - len);
}

static void put_number(struct sink *s, const struct spec *f, u64 value, char sign, unsigned base)
{
    const char *digits = f->upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24];
    int len = 0;

    for (u64 v = value; v || (!len && f->precision != 0); v /= base)
        text[len++] = digits[v % base];

    const char *prefix = "";
    if (f->alt && base == 16 && value)
        prefix = f->upper ? "0X" : "0x";
    else if (f->alt && base == 8 && value)
        prefix = "0";
    int lead = (int)strlen(prefix) + (sign != 0);
    int zeros = f->precision - len;
    if (f->zero && !f->left && f->precision < 0)
        zeros = f->width - lead - len;
    zeros = max(zeros, 0);

    if (!f->left)
        put_many(s, ' ', f->width - lead - zeros - len);
    if (sign)
        put(s, sign);
    for (; *prefix; prefix++)
        put(s, *prefix);
    put_many(s, '0', zeros);
    for (int i = len; i > 0; i--)
        put(s, text[i - 1]);
    if (f->left)
        put_many(s, ' ', f->width - lead - zeros - len);
}

static const char *parse_flags(const char *p, struct spec *f)
{
    for (;; p++) {
        if (*p == '-')
            f->left = true;
        else if (*p == '0')
            f->zero = true;
        else if (*p == '#')
            f->alt = true;
        else if (*p == '+' || (*p == ' ' && f->sign != '+'))
            f->sign = *p;
        else
            return p;
    }
}

static const char *parse_count(const char *p, int *count, va_list *ap)
{
    if (*p == '*') {
        *count = va_arg(*ap, int);
        return p + 1;
    }
    int n = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        n = n < 100000 ? n * 10 + (*p - '0') : n;
    *count = n;
    return p;
}

static const char *parse_length(const char *p, struct spec *f)
{
    f->size = sizeof(int);
    for (;; p++) {
        if (*p == 'h')
            f->size /= 2;
        else if (*p == 'l' || *p == 'z' || *p == 'j' || *p == 't')
            f->size = sizeof(long);
        else
            return p;
    }
}

static const char *parse_spec(const char *p, struct spec *f, va_list *ap)
{
    *f = (struct spec){.precision = -1};
    p = parse_flags(p, f);
    p = parse_count(p, &f->width, ap);
    if (f->width < 0) {
        f->left = true;
        f->width = -f->width;
    }
    if (*p == '.')
        p = parse_count(p + 1, &f->precision, ap);
    return parse_length(p, f);
}

static void put_signed(struct sink *s, const struct spec *f, va_list *ap)
{
    s64 v = f->size == 8 ? va_arg(*ap, long) : va_arg(*ap, int);

    if (f->size == 2)
        v = (s16)v;
    else if (f->size == 1)
        v = (s8)v;
    put_number(s, f, v < 0 ? -(u64)v : (u64)v, v < 0 ? '-' : f->sign, 10);
}

static void put_unsigned(struct sink *s, const struct spec *f, va_list *ap, unsigned base)
{
    u64 v = f->size == 8 ? va_arg(*ap, unsigned long) : va_arg(*ap, unsigned);

    if (f->size == 2)
        v = (u16)v;
    else if (f->size == 1)
        v = (u8)v;
    put_number(s, f, v, 0, base);
}

/* False for a conversion that we do not know. */
static bool put_conversion(struct sink *s, struct spec *f, char conversion, va_list *ap)
{
    char one[2] = {0};

    switch (conversion) {
    case 'd':
    case 'i':
        put_signed(s, f, ap);
        return true;
    case 'u':
        put_unsigned(s, f, ap, 10);
        return true;
    case 'o':
        put_unsigned(s, f, ap, 8);
        return true;
    case 'X':
        f->upper = true;
        put_unsigned(s, f, ap, 16);
        return true;
    case 'x':
        put_unsigned(s, f, ap, 16);
        return true;
    case 'p':
        f->alt = true;
        put_number(s, f, (u64)(uintptr_t)va_arg(*ap, void *), 0, 16);
        return true;
    case 's':
        put_string(s, f, va_arg(*ap, const char *));
        return true;
    case 'c':
        one[0] = (char)va_arg(*ap, int);
        put_string(s, f, one);
        return true;
    case '%':
        put(s, '%');
        return true;
    default:
        return false;
    }
}

int format_va(char *buf, size_t size, const char *fmt, va_list ap)
{
    struct sink s = {buf, size, 0};
    va_list args;

    va_copy(args, ap);
    for (const char *p = fmt; *p; p++) {
        struct spec f;
        if (*p != '%') {
            put(&s, *p);
            continue;
        }
        const char *end = parse_spec(p + 1, &f, &args);
        if (*end && put_conversion(&s, &f, *end, &args))
            p = end;
        else
            put(&s, '%'); /* the rest follows as plain text */
    }
    va_end(args);
    if (size)
        buf[min(s.len, size - 1)] = '\0';
    return (int)min(s.len, (size_t)INT_MAX);
}

int format(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int len = format_va(buf, size, fmt, ap);
    va_end(ap);
    return len;
}
