/* How --trace prints calls. */
#include "unit/test.h"

#include "sys/dispatch.h"

const struct syscall_info syscall_info[SYSCALL_MAX] = {
    [0] = {"read", 3, {ARG_FD, ARG_ADDR, ARG_SIZE}},
    [9] = {"mmap", 6, {ARG_ULONG, ARG_SIZE, ARG_PROT, ARG_MAPFLAGS, ARG_FD, ARG_OFF}},
    [13] = {"rt_sigaction", 1, {ARG_SIG}},
    [228] = {"clock_gettime", 2, {ARG_CLOCK, ARG_ADDR}},
    [257] = {"openat", 4, {ARG_FD, ARG_PATH, ARG_OFLAGS, ARG_MODE}},
};

void *kmalloc(size_t size)
{
    return malloc(size);
}

void kfree(const void *ptr)
{
    free((void *)(uintptr_t)ptr);
}

static ssize_t read_str(char *dst, u64 src, size_t size)
{
    const char *s = (const char *)(uintptr_t)src;
    if (src < 4096)
        return -EFAULT;
    strncpy(dst, s, size);
    return strlen(s) < size ? (ssize_t)strlen(s) : -ENAMETOOLONG;
}

static const char *call(u64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    static char buf[256];
    const u64 args[6] = {a, b, c, d, e, f};
    trace_format_call(buf, sizeof(buf), nr, args, read_str);
    return buf;
}

static const char *result(long value)
{
    static char buf[64];
    trace_format_result(buf, sizeof(buf), 0, value);
    return buf;
}

TEST(arguments_are_printed_by_their_kind)
{
    u64 path = (u64)(uintptr_t) "/etc/x\n";
    EXPECT_STR(call(257, (u64)-100, path, 0x80000, 0644, 0, 0),
               "openat(AT_FDCWD, \"/etc/x\\n\", O_RDONLY|O_CLOEXEC, 0644)", NULL);
    EXPECT_STR(call(9, 0, 4096, 3, 0x22, (u64)-1, 0),
               "mmap(0, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)", NULL);
    EXPECT_STR(call(9, 0x1000, 1, 0, 0x40000001, 3, 8),
               "mmap(0x1000, 1, PROT_NONE, MAP_SHARED|0x40000000, 3, 8)", "an unknown bit");
    EXPECT_STR(call(0, 3, 0, 10, 0, 0, 0), "read(3, NULL, 10)", NULL);
    EXPECT_STR(call(13, 35, 0, 0, 0, 0, 0), "rt_sigaction(SIGRT_3)", NULL);
    EXPECT_STR(call(228, 1, 0x5000, 0, 0, 0, 0), "clock_gettime(CLOCK_MONOTONIC, 0x5000)", NULL);
    EXPECT_STR(call(228, 77, 0, 0, 0, 0, 0), "clock_gettime(77, NULL)", NULL);
    EXPECT_STR(call(300, 0, 0, 0, 0, 0, 0), "syscall_300()", "no such number");
}

TEST(a_bad_or_long_string_is_shown_as_far_as_it_goes)
{
    char text[300];
    memset(text, 'a', sizeof(text));
    text[299] = 0;
    EXPECT_STR(call(257, 3, 8, 0, 0, 0, 0), "openat(3, 0x8, O_RDONLY, 00)", "unreadable");
    const char *line = call(257, 3, (u64)(uintptr_t)text, 0, 0, 0, 0);
    EXPECT_TRUE(strstr(line, "aaa\"...") != NULL, "cut");
}

TEST(a_line_never_leaves_its_buffer)
{
    char buf[20];
    const u64 args[6] = {0, 4096, 7, 0x22, 0, 0};
    int len = trace_format_call(buf, sizeof(buf), 9, args, read_str);
    EXPECT_EQ(strlen(buf), 19, NULL);
    EXPECT_TRUE(len > 19, "what it would have been");
}

TEST(results_are_numbers_addresses_or_names)
{
    EXPECT_STR(result(0), " = 0", NULL);
    EXPECT_STR(result(3), " = 3", NULL);
    EXPECT_STR(result(-2), " = -1 ENOENT", NULL);
    EXPECT_STR(result(-38), " = -1 ENOSYS", NULL);
    EXPECT_STR(result(-133), " = -1 EHWPOISON", NULL);
    EXPECT_STR(result(-41), " = -1 errno 41", "a hole in the numbers");
    EXPECT_STR(result(-4000), " = -1 errno 4000", NULL);
    EXPECT_STR(result(-512), " = ? (interrupted by a signal)", NULL);
    EXPECT_STR(result(0x7ffff7fc1000), " = 0x7ffff7fc1000", NULL);
}
