#include "sys/json.h"

#include "abi/errno.h"
#include "lib/string.h"

struct parser {
    char *at, *end;
    struct json_node *nodes;
    u32 used, max;
    u32 depth;
    bool full; /* nodes ran out */
};

static bool parse_value(struct parser *p, u32 *index);

static void skip_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

static bool take(struct parser *p, char c)
{
    skip_space(p);
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits after "\u"; -1 if they are none. */
static int take_unit(struct parser *p)
{
    int unit = 0;

    if (p->end - p->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*p->at++);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static char *put_utf8(char *out, u32 c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (char)(0xe0 | c >> 12);
        } else {
            *out++ = (char)(0xf0 | c >> 18);
            *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (c & 0x3f));
    return out;
}

/* A \u escape, or two that make a surrogate pair. */
static char *take_unicode(struct parser *p, char *out)
{
    int unit = take_unit(p);

    if (unit <= 0 || (unit >= 0xdc00 && unit < 0xe000))
        return NULL;
    if (unit < 0xd800 || unit >= 0xe000)
        return put_utf8(out, (u32)unit);
    if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
        return NULL;
    p->at += 2;
    int low = take_unit(p);
    if (low < 0xdc00 || low >= 0xe000)
        return NULL;
    return put_utf8(out, 0x10000 + (((u32)unit - 0xd800) << 10) + ((u32)low - 0xdc00));
}

/* What stands after a backslash; the result is never longer than the escape. */
static char *take_escape(struct parser *p, char *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";

    if (p->at == p->end)
        return NULL;
    char c = *p->at++;
    if (c == 'u')
        return take_unicode(p, out);
    const char *found = c ? strchr(names, c) : NULL;
    if (!found)
        return NULL;
    *out++ = values[found - names];
    return out;
}

/* A string, unescaped in place; NULL if it is none. */
static const char *parse_string(struct parser *p)
{
    if (!take(p, '"'))
        return NULL;
    char *start = p->at, *out = p->at;

    while (p->at < p->end && *p->at != '"') {
        u8 c = (u8)*p->at;
        if (c < 0x20)
            return NULL;
        p->at++;
        if (c == '\\')
            out = take_escape(p, out);
        else
            *out++ = (char)c;
        if (!out)
            return NULL;
    }
    if (p->at == p->end)
        return NULL;
    p->at++;
    *out = 0; /* at the closing quote at the latest */
    return start;
}

static bool take_digits(struct parser *p)
{
    char *start = p->at;

    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > start;
}

/* RFC 8259 section 6. */
static bool parse_number(struct parser *p)
{
    if (*p->at == '-')
        p->at++;
    if (p->at < p->end && *p->at == '0')
        p->at++;
    else if (!take_digits(p))
        return false;
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        if (!take_digits(p))
            return false;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        return take_digits(p);
    }
    return true;
}

static bool take_word(struct parser *p, const char *word, struct json_node *node, u32 type)
{
    size_t len = strlen(word);

    if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len))
        return false;
    p->at += len;
    node->type = type;
    return true;
}

/* Elements of an array, or members of an object, up to @close. */
static bool parse_items(struct parser *p, u32 parent, char close)
{
    u32 last = 0;

    if (take(p, close))
        return true;
    do {
        const char *key = NULL;
        u32 index;
        if (close == '}' && (!(key = parse_string(p)) || !take(p, ':')))
            return false;
        if (!parse_value(p, &index))
            return false;
        p->nodes[index].key = key;
        if (last)
            p->nodes[last].next = index;
        else
            p->nodes[parent].first = index;
        last = index;
    } while (take(p, ','));
    return take(p, close);
}

static bool parse_container(struct parser *p, u32 index, char close)
{
    p->nodes[index].type = close == '}' ? JSON_OBJECT : JSON_ARRAY;
    p->at++;
    if (++p->depth > JSON_MAX_DEPTH || !parse_items(p, index, close))
        return false;
    p->depth--;
    return true;
}

static bool parse_value(struct parser *p, u32 *index)
{
    skip_space(p);
    if (p->at == p->end)
        return false;
    if (p->used == p->max) {
        p->full = true;
        return false;
    }
    *index = p->used++;
    struct json_node *node = &p->nodes[*index];
    *node = (struct json_node){0};
    switch (*p->at) {
    case '{':
        return parse_container(p, *index, '}');
    case '[':
        return parse_container(p, *index, ']');
    case '"':
        node->type = JSON_STRING;
        node->text = parse_string(p);
        return node->text != NULL;
    case 't':
        return take_word(p, "true", node, JSON_TRUE);
    case 'f':
        return take_word(p, "false", node, JSON_FALSE);
    case 'n':
        return take_word(p, "null", node, JSON_NULL);
    default:
        node->type = JSON_NUMBER;
        return parse_number(p);
    }
}

int json_parse(char *text, size_t len, struct json_node *nodes, u32 max, size_t *where)
{
    struct parser p = {.at = text, .end = text + len, .nodes = nodes, .max = max};
    u32 root;

    bool good = parse_value(&p, &root);
    skip_space(&p);
    if (good && p.at == p.end)
        return (int)p.used;
    if (where)
        *where = (size_t)(p.at - text);
    return p.full ? -E2BIG : -EINVAL;
}

const struct json_node *json_first(const struct json_node *nodes, const struct json_node *parent)
{
    return parent && parent->first ? &nodes[parent->first] : NULL;
}

const struct json_node *json_next(const struct json_node *nodes, const struct json_node *node)
{
    return node->next ? &nodes[node->next] : NULL;
}

const struct json_node *json_member(const struct json_node *nodes, const struct json_node *object,
                                    const char *key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (const struct json_node *n = json_first(nodes, object); n; n = json_next(nodes, n))
        if (!strcmp(n->key, key))
            return n;
    return NULL;
}

const char *json_string(const struct json_node *node)
{
    return node && node->type == JSON_STRING ? node->text : NULL;
}
