/* MicroLZMA: an LZMA stream (lzma-specification.txt of the LZMA SDK) without an end marker, whose
 * first byte, always zero, has the inverted properties in its place (lzma_microlzma_encoder()).
 * Every bit is range-coded by a probability that follows what was seen. */
#include "fs/erofs_z.h"
#include "mm/heap.h"

enum {
    BIT_MODEL_BITS = 11,
    EVEN = 1 << (BIT_MODEL_BITS - 1),
    MOVE_BITS = 5,
    TOP = 1 << 24,
    STATES = 12,
    LITERAL_STATES = 7, /* below: the last symbol was a literal */
    POS_STATES = 16,
    LITERAL_SIZE = 0x300,
    LITERAL_BITS_MAX = 4, /* lc + lp, as liblzma has it */
    POS_BITS_MAX = 4,
    LEN_STATES = 4,
    LEAST_LEN = 2,
    SLOTS = 64,
    FULL_DISTANCES = 128,
    END_POS_MODEL = 14,
    ALIGN_BITS = 4,
};

typedef u16 prob;

struct length_coder {
    prob choice, choice2, low[POS_STATES][8], mid[POS_STATES][8], high[256];
};

/* All probabilities first, then what they decode. */
struct lzma {
    prob is_match[STATES][POS_STATES], is_rep[STATES], is_rep0[STATES], is_rep1[STATES],
        is_rep2[STATES], is_rep0_long[STATES][POS_STATES];
    prob slot[LEN_STATES][SLOTS], special[1 + FULL_DISTANCES - END_POS_MODEL],
        align[1 << ALIGN_BITS];
    struct length_coder match_len, rep_len;
    prob literal[LITERAL_SIZE << LITERAL_BITS_MAX];
    struct erofs_zin *in;
    struct erofs_zout *out;
    u32 range, code;
    u32 lc, lp_mask, pb_mask, state, rep[4], last;
};

static u32 bit(struct lzma *l, prob *p)
{
    if (l->range < TOP) {
        l->range <<= 8;
        l->code = l->code << 8 | erofs_zin_byte(l->in);
    }
    u32 bound = (l->range >> BIT_MODEL_BITS) * *p;
    if (l->code < bound) {
        l->range = bound;
        *p = (prob)(*p + (((1u << BIT_MODEL_BITS) - *p) >> MOVE_BITS));
        return 0;
    }
    l->range -= bound;
    l->code -= bound;
    *p = (prob)(*p - (*p >> MOVE_BITS));
    return 1;
}

static u32 bits_tree(struct lzma *l, prob *probs, u32 count)
{
    u32 m = 1;

    for (u32 i = 0; i < count; i++)
        m = m << 1 | bit(l, &probs[m]);
    return m - (1u << count);
}

static u32 bits_reversed(struct lzma *l, prob *probs, u32 count)
{
    u32 m = 1, value = 0;

    for (u32 i = 0; i < count; i++) {
        u32 b = bit(l, &probs[m]);
        m = m << 1 | b;
        value |= b << i;
    }
    return value;
}

static u32 bits_direct(struct lzma *l, u32 count)
{
    u32 value = 0;

    while (count--) {
        if (l->range < TOP) {
            l->range <<= 8;
            l->code = l->code << 8 | erofs_zin_byte(l->in);
        }
        l->range >>= 1;
        u32 b = l->code >= l->range;
        l->code -= b ? l->range : 0;
        value = value << 1 | b;
    }
    return value;
}

static u32 length(struct lzma *l, struct length_coder *c, u32 pos_state)
{
    if (!bit(l, &c->choice))
        return LEAST_LEN + bits_tree(l, c->low[pos_state], 3);
    if (!bit(l, &c->choice2))
        return LEAST_LEN + 8 + bits_tree(l, c->mid[pos_state], 3);
    return LEAST_LEN + 16 + bits_tree(l, c->high, 8);
}

static u32 distance(struct lzma *l, u32 len)
{
    u32 slot = bits_tree(l, l->slot[min(len - LEAST_LEN, (u32)LEN_STATES - 1)], 6);

    if (slot < 4)
        return slot;
    u32 count = (slot >> 1) - 1, base = (2 | (slot & 1)) << count;
    if (slot < END_POS_MODEL)
        return base + bits_reversed(l, l->special + base - slot, count);
    base += bits_direct(l, count - ALIGN_BITS) << ALIGN_BITS;
    return base + bits_reversed(l, l->align, ALIGN_BITS);
}

static u32 literal_symbol(struct lzma *l)
{
    u32 place = (l->out->done & l->lp_mask) << l->lc | l->last >> (8 - l->lc), symbol = 1;
    prob *probs = l->literal + LITERAL_SIZE * place;

    if (l->state >= LITERAL_STATES) {
        u32 match = erofs_zpeek(l->out, l->rep[0] + 1), expected, b;
        do {
            expected = match >> 7 & 1;
            match <<= 1;
            b = bit(l, &probs[((1 + expected) << 8) + symbol]);
            symbol = symbol << 1 | b;
        } while (b == expected && symbol < 256);
    }
    while (symbol < 256)
        symbol = symbol << 1 | bit(l, &probs[symbol]);
    return symbol & 255;
}

static int literal(struct lzma *l)
{
    u32 room;

    l->last = literal_symbol(l);
    u8 *to = erofs_zroom(l->out, &room);
    if (!to)
        return -ENOMEM;
    *to = (u8)l->last;
    l->out->done++;
    l->state = l->state < 4 ? 0 : l->state < 10 ? l->state - 3 : l->state - 6;
    return 0;
}

/* One of the last four distances comes to the front. */
static void use_rep(struct lzma *l, u32 i)
{
    u32 value = l->rep[i];

    for (; i > 0; i--)
        l->rep[i] = l->rep[i - 1];
    l->rep[0] = value;
}

static void new_distance(struct lzma *l, u32 len)
{
    l->rep[3] = l->rep[0]; /* goes to the front, and is replaced there */
    use_rep(l, 3);
    l->rep[0] = distance(l, len);
}

/* The length of what is said again, from rep[0] back. */
static u32 repetition(struct lzma *l, u32 pos_state)
{
    u32 state = l->state, len;
    bool after_literal = state < LITERAL_STATES;

    if (!bit(l, &l->is_rep[state])) {
        len = length(l, &l->match_len, pos_state);
        l->state = after_literal ? 7 : 10;
        new_distance(l, len);
        return len;
    }
    if (!bit(l, &l->is_rep0[state])) {
        if (!bit(l, &l->is_rep0_long[state][pos_state])) {
            l->state = after_literal ? 9 : 11;
            return 1;
        }
    } else if (!bit(l, &l->is_rep1[state])) {
        use_rep(l, 1);
    } else {
        use_rep(l, 2 + bit(l, &l->is_rep2[state]));
    }
    len = length(l, &l->rep_len, pos_state);
    l->state = after_literal ? 8 : 11;
    return len;
}

static int decode(struct lzma *l)
{
    while (l->out->done < l->out->want && !l->in->err) {
        u32 pos_state = l->out->done & l->pb_mask;
        int err;
        if (!bit(l, &l->is_match[l->state][pos_state])) {
            err = literal(l);
        } else {
            u32 len = repetition(l, pos_state);
            if (l->in->err || l->rep[0] == UINT32_MAX)
                break;
            err = erofs_zrepeat(l->out, l->rep[0] + 1, min(len, l->out->want - l->out->done));
            l->last = err ? 0 : erofs_zpeek(l->out, 1);
        }
        if (err)
            return err;
    }
    return l->in->err ? l->in->err : l->out->done < l->out->want ? -EUCLEAN : 0;
}

static int start(struct lzma *l)
{
    u32 props = ~erofs_zin_byte(l->in) & 255, lc = props % 9, lp = props / 9 % 5, pb = props / 45;

    if (lc + lp > LITERAL_BITS_MAX || pb > POS_BITS_MAX)
        return -EUCLEAN;
    l->lc = lc;
    l->lp_mask = (1u << lp) - 1;
    l->pb_mask = (1u << pb) - 1;
    l->range = UINT32_MAX;
    for (u32 i = 0; i < 4; i++)
        l->code = l->code << 8 | erofs_zin_byte(l->in);
    prob *probs = (prob *)l;
    for (size_t i = 0; i < offsetof(struct lzma, in) / sizeof(prob); i++)
        probs[i] = EVEN;
    return l->in->err;
}

int erofs_lzma(struct erofs_zin *in, struct erofs_zout *out)
{
    struct lzma *l = kzalloc(sizeof(*l));

    if (!l)
        return -ENOMEM;
    l->in = in;
    l->out = out;
    int err = start(l);
    if (!err)
        err = decode(l);
    kfree(l);
    return err;
}
