/* Addresses as text and as prefixes. RFC 4291 2.2, RFC 5952. */
#include "net/addr.h"

#include "lib/format.h"
#include "lib/string.h"

u32 addr_common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
    u32 first = a->family == ADDR_INET ? 12 : 0;

    for (u32 i = first; i < 16; i++) {
        u8 differ = a->bytes[i] ^ b->bytes[i];
        if (differ)
            return (i - first) * 8 + (u32)__builtin_clz(differ) - 24;
    }
    return addr_bits(a);
}

bool addr_in_prefix(const struct ip_addr *addr, const struct ip_addr *net, u32 prefix)
{
    return addr->family == net->family && addr_common_bits(addr, net) >= prefix;
}

static u16 group_of(const struct ip_addr *addr, u32 i)
{
    return (u16)(addr->bytes[2 * i] << 8 | addr->bytes[2 * i + 1]);
}

/* The first longest run of zero groups, at least two of them; returns its length. */
static u32 longest_zero_run(const struct ip_addr *addr, u32 *start)
{
    u32 best = 1;

    for (u32 i = 0; i < 8; i++) {
        u32 n = 0;
        while (i + n < 8 && group_of(addr, i + n) == 0)
            n++;
        if (n > best) {
            best = n;
            *start = i;
        }
        i += n;
    }
    return best > 1 ? best : 0;
}

char *addr_format(const struct ip_addr *addr, char *buf)
{
    const u8 *b = addr->bytes;

    if (addr->family != ADDR_INET6) {
        format(buf, ADDR_TEXT_MAX, "%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
        return buf;
    }
    if (addr_is_v4_mapped(addr)) {
        format(buf, ADDR_TEXT_MAX, "::ffff:%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
        return buf;
    }
    u32 run = 8, len = longest_zero_run(addr, &run), at = 0;
    for (u32 i = 0; i < 8; i++) {
        if (len && i == run) {
            at += (u32)format(buf + at, ADDR_TEXT_MAX - at, "::");
            i += len - 1;
            continue;
        }
        const char *colon = i && !(len && i == run + len) ? ":" : "";
        at += (u32)format(buf + at, ADDR_TEXT_MAX - at, "%s%x", colon, group_of(addr, i));
    }
    return buf;
}

/* Dotted decimal of exactly four numbers into @out. */
static bool parse_v4(const char *s, u8 out[4])
{
    for (u32 i = 0; i < 4; i++) {
        u32 value = 0, digits = 0;
        for (; *s >= '0' && *s <= '9' && digits < 3; s++, digits++)
            value = value * 10 + (u32)(*s - '0');
        if (!digits || value > 255 || *s != (i < 3 ? '.' : '\0'))
            return false;
        out[i] = (u8)value;
        s++;
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Spread what was read: @n bytes, of which those from @gap on belong at the end. */
static bool place_gap(u8 out[16], u32 n, s32 gap)
{
    if (gap < 0)
        return n == 16;
    if (n > 14)
        return false;
    memmove(out + 16 - (n - (u32)gap), out + gap, n - (u32)gap);
    memset(out + gap, 0, 16 - n);
    return true;
}

static bool parse_v6(const char *s, u8 out[16])
{
    u32 n = 0;
    s32 gap = -1;

    if (s[0] == ':' && s[1] != ':')
        return false;
    if (s[0] == ':')
        s++;
    while (*s) {
        if (*s == ':') { /* the second of two */
            if (gap >= 0)
                return false;
            gap = (s32)n;
            s++;
            continue;
        }
        if (n <= 12 && strchr(s, '.') && !strchr(s, ':'))
            return parse_v4(s, out + n) && place_gap(out, n + 4, gap);
        u32 value = 0, digits = 0;
        for (; hex_value(*s) >= 0 && digits < 4; s++, digits++)
            value = value << 4 | (u32)hex_value(*s);
        if (!digits || n > 14 || (*s && *s != ':') || (*s == ':' && !s[1]))
            return false;
        out[n++] = (u8)(value >> 8);
        out[n++] = (u8)value;
        if (*s == ':')
            s++;
    }
    return place_gap(out, n, gap);
}

bool addr_parse(const char *text, struct ip_addr *out)
{
    u8 bytes[16];

    if (!strchr(text, ':')) {
        u32 raw;
        if (!parse_v4(text, bytes))
            return false;
        memcpy(&raw, bytes, 4);
        *out = addr_from_v4(raw);
        return true;
    }
    if (!parse_v6(text, bytes))
        return false;
    *out = addr_from_v6(bytes);
    return true;
}
