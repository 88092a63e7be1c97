/* What the programs that test a store of keys and values share. */
#pragma once

enum { KV_MAX = 4000 };

struct kv_args {
    const char *folder;
    unsigned count; /* 0: check what is there */
};

static inline struct kv_args kv_arguments(int argc, char **argv)
{
    if (argc < 3)
        exit(2);
    return (struct kv_args){argv[1], argc > 3 ? (unsigned)atoi(argv[3]) : 0};
}

/* What the key @n has, and how long that is. */
static inline size_t kv_value(unsigned n, char *value)
{
    size_t len = 10 + n * 37 % (KV_MAX - 10);

    for (size_t i = 0; i < len; i++)
        value[i] = (char)(n * 31 + i * 7);
    return len;
}

static inline void kv_ack(unsigned n)
{
    printf("ack|%u\n", n);
    fflush(stdout);
}

static inline void kv_compare(unsigned n, const char *found, size_t len)
{
    char value[KV_MAX];

    if (len == kv_value(n, value) && !memcmp(found, value, len))
        return;
    fprintf(stderr, "key %u has another value\n", n);
    exit(1);
}

/* All keys up to @last are there, and none after it. */
static inline void kv_end(unsigned last)
{
    printf("ok\n%u\n", last);
    exit(0);
}
