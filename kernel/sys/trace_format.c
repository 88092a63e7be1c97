/* What `--trace` prints for one system call: arguments by the kinds of table.def and the result, as
 * strace does.  Pure: the program's strings come through a function that the caller hands in. */
#include "sys/dispatch.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/mman.h"
#include "abi/time.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sched/signal.h"
#include "sys/dispatch.h"

enum {
    STRING_SHOWN = 128,
    RESULT_IS_ADDRESS = 1 << 24, /* from here on a result is printed in hexadecimal */
};

/* A buffer that is written to its end and no further; .len counts on. */
struct out {
    char *buf;
    size_t size, len;
};

static void put(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct out *o, const char *fmt, ...)
{
    va_list ap;
    size_t at = min(o->len, o->size);
    va_start(ap, fmt);
    o->len += (size_t)format_va(o->buf + at, o->size - at, fmt, ap);
    va_end(ap);
}

struct flag_name {
    u32 bits;
    char name[16];
};

/** The names of @value's bits, then what is left of it; @zero if there is none. */
static void put_flags(struct out *o, u32 value, const struct flag_name *names, size_t count,
                      const char *zero)
{
    const char *separator = "";
    if (!value && zero)
        put(o, "%s", zero);
    for (size_t i = 0; i < count; i++) {
        if (!names[i].bits || (value & names[i].bits) != names[i].bits)
            continue;
        put(o, "%s%s", separator, names[i].name);
        value &= ~names[i].bits;
        separator = "|";
    }
    if (value)
        put(o, "%s0x%x", separator, value);
}

static const struct flag_name open_flags[] = {
    {O_CREAT, "O_CREAT"},         {O_EXCL, "O_EXCL"},       {O_NOCTTY, "O_NOCTTY"},
    {O_TRUNC, "O_TRUNC"},         {O_APPEND, "O_APPEND"},   {O_NONBLOCK, "O_NONBLOCK"},
    {O_SYNC, "O_SYNC"},           {O_DSYNC, "O_DSYNC"},     {O_DIRECT, "O_DIRECT"},
    {O_LARGEFILE, "O_LARGEFILE"}, {O_TMPFILE, "O_TMPFILE"}, {O_DIRECTORY, "O_DIRECTORY"},
    {O_NOFOLLOW, "O_NOFOLLOW"},   {O_NOATIME, "O_NOATIME"}, {O_CLOEXEC, "O_CLOEXEC"},
    {O_PATH, "O_PATH"},
};

static void put_open_flags(struct out *o, u32 flags)
{
    static const char access[4][9] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "3"};
    put(o, "%s", access[flags & 3]);
    flags &= ~3u;
    if (!flags)
        return;
    put(o, "|");
    put_flags(o, flags, open_flags, ARRAY_LEN(open_flags), NULL);
}

static const struct flag_name prot_flags[] = {
    {PROT_READ, "PROT_READ"},
    {PROT_WRITE, "PROT_WRITE"},
    {PROT_EXEC, "PROT_EXEC"},
};

static const struct flag_name map_flags[] = {
    {MAP_FIXED, "MAP_FIXED"},         {MAP_ANONYMOUS, "MAP_ANONYMOUS"},
    {MAP_32BIT, "MAP_32BIT"},         {MAP_GROWSDOWN, "MAP_GROWSDOWN"},
    {MAP_DENYWRITE, "MAP_DENYWRITE"}, {MAP_EXECUTABLE, "MAP_EXECUTABLE"},
    {MAP_LOCKED, "MAP_LOCKED"},       {MAP_NORESERVE, "MAP_NORESERVE"},
    {MAP_POPULATE, "MAP_POPULATE"},   {MAP_STACK, "MAP_STACK"},
    {MAP_HUGETLB, "MAP_HUGETLB"},     {MAP_FIXED_NOREPLACE, "MAP_FIXED_NOREPL"},
};

static void put_map_flags(struct out *o, u32 flags)
{
    static const char types[4][20] = {"0", "MAP_SHARED", "MAP_PRIVATE", "MAP_SHARED_VALIDATE"};
    put(o, "%s", types[flags & 3]);
    flags &= ~3u;
    if (!flags)
        return;
    put(o, "|");
    put_flags(o, flags, map_flags, ARRAY_LEN(map_flags), NULL);
}

static void put_clock(struct out *o, int clock)
{
    static const char names[][25] = {
        "CLOCK_REALTIME",          "CLOCK_MONOTONIC",     "CLOCK_PROCESS_CPUTIME_ID",
        "CLOCK_THREAD_CPUTIME_ID", "CLOCK_MONOTONIC_RAW", "CLOCK_REALTIME_COARSE",
        "CLOCK_MONOTONIC_COARSE",  "CLOCK_BOOTTIME",
    };
    if (clock >= 0 && (size_t)clock < ARRAY_LEN(names))
        put(o, "%s", names[clock]);
    else
        put(o, "%d", clock);
}

static void put_quoted(struct out *o, const char *text)
{
    put(o, "\"");
    for (; *text; text++) {
        u8 c = (u8)*text;
        if (c == '"' || c == '\\')
            put(o, "\\%c", c);
        else if (c == '\n')
            put(o, "\\n");
        else if (c < ' ' || c >= 0x7f)
            put(o, "\\x%02x", c);
        else
            put(o, "%c", c);
    }
    put(o, "\"");
}

static void put_string(struct out *o, u64 addr,
                       ssize_t (*read_str)(char *dst, u64 src, size_t size))
{
    char text[STRING_SHOWN];
    ssize_t len = addr ? read_str(text, addr, sizeof(text)) : -EFAULT;
    if (len == -ENAMETOOLONG) {
        text[sizeof(text) - 1] = 0;
        put_quoted(o, text);
        put(o, "...");
    } else if (len >= 0) {
        put_quoted(o, text);
    } else if (addr) {
        put(o, "0x%lx", addr);
    } else {
        put(o, "NULL");
    }
}

static void put_arg(struct out *o, u8 kind, u64 v,
                    ssize_t (*read_str)(char *dst, u64 src, size_t size))
{
    char name[16];
    switch ((enum syscall_arg)kind) {
    case ARG_FD:
        if ((int)v == AT_FDCWD)
            put(o, "AT_FDCWD");
        else
            put(o, "%d", (int)v);
        return;
    case ARG_INT:
        put(o, "%d", (int)v);
        return;
    case ARG_SIG:
        put(o, "%s", signal_name((int)v, name, sizeof(name)));
        return;
    case ARG_CLOCK:
        put_clock(o, (int)v);
        return;
    case ARG_UINT:
        put(o, "%u", (u32)v);
        return;
    case ARG_OFLAGS:
        put_open_flags(o, (u32)v);
        return;
    case ARG_MAPFLAGS:
        put_map_flags(o, (u32)v);
        return;
    case ARG_PROT:
        put_flags(o, (u32)v, prot_flags, ARRAY_LEN(prot_flags), "PROT_NONE");
        return;
    case ARG_MODE:
        put(o, "0%o", (u32)v);
        return;
    case ARG_LONG:
    case ARG_OFF:
        put(o, "%ld", v);
        return;
    case ARG_SIZE:
        put(o, "%lu", v);
        return;
    case ARG_STR:
    case ARG_PATH:
        put_string(o, v, read_str);
        return;
    case ARG_ULONG:
    case ARG_ADDR:
        if (v)
            put(o, "0x%lx", v);
        else
            put(o, kind == ARG_ADDR ? "NULL" : "0");
        return;
    }
}

int trace_format_call(char *buf, size_t size, u64 nr, const u64 args[6],
                      ssize_t (*read_str)(char *dst, u64 src, size_t size))
{
    struct out o = {buf, size, 0};
    const struct syscall_info *info = nr < SYSCALL_MAX ? &syscall_info[nr] : NULL;
    if (!info || !info->name) {
        put(&o, "syscall_%lu()", nr);
        return (int)o.len;
    }
    put(&o, "%s(", info->name);
    for (int i = 0; i < info->nr_args; i++) {
        put(&o, "%s", i ? ", " : "");
        put_arg(&o, info->args[i], args[i], read_str);
    }
    put(&o, ")");
    return (int)o.len;
}

/* Names of error numbers from 1, one after the other: a table of pointers would have to be
 * relocated at every start. */
static const char errno_names[] =
    "EPERM\0ENOENT\0ESRCH\0EINTR\0EIO\0ENXIO\0E2BIG\0ENOEXEC\0EBADF\0ECHILD\0EAGAIN\0ENOMEM\0"
    "EACCES\0EFAULT\0ENOTBLK\0EBUSY\0EEXIST\0EXDEV\0ENODEV\0ENOTDIR\0EISDIR\0EINVAL\0ENFILE\0"
    "EMFILE\0ENOTTY\0ETXTBSY\0EFBIG\0ENOSPC\0ESPIPE\0EROFS\0EMLINK\0EPIPE\0EDOM\0ERANGE\0"
    "EDEADLK\0ENAMETOOLONG\0ENOLCK\0ENOSYS\0ENOTEMPTY\0ELOOP\0\0ENOMSG\0EIDRM\0ECHRNG\0"
    "EL2NSYNC\0EL3HLT\0EL3RST\0ELNRNG\0EUNATCH\0ENOCSI\0EL2HLT\0EBADE\0EBADR\0EXFULL\0ENOANO\0"
    "EBADRQC\0EBADSLT\0\0EBFONT\0ENOSTR\0ENODATA\0ETIME\0ENOSR\0ENONET\0ENOPKG\0EREMOTE\0"
    "ENOLINK\0EADV\0ESRMNT\0ECOMM\0EPROTO\0EMULTIHOP\0EDOTDOT\0EBADMSG\0EOVERFLOW\0ENOTUNIQ\0"
    "EBADFD\0EREMCHG\0ELIBACC\0ELIBBAD\0ELIBSCN\0ELIBMAX\0ELIBEXEC\0EILSEQ\0ERESTART\0ESTRPIPE\0"
    "EUSERS\0ENOTSOCK\0EDESTADDRREQ\0EMSGSIZE\0EPROTOTYPE\0ENOPROTOOPT\0EPROTONOSUPPORT\0"
    "ESOCKTNOSUPPORT\0EOPNOTSUPP\0EPFNOSUPPORT\0EAFNOSUPPORT\0EADDRINUSE\0EADDRNOTAVAIL\0"
    "ENETDOWN\0ENETUNREACH\0ENETRESET\0ECONNABORTED\0ECONNRESET\0ENOBUFS\0EISCONN\0ENOTCONN\0"
    "ESHUTDOWN\0ETOOMANYREFS\0ETIMEDOUT\0ECONNREFUSED\0EHOSTDOWN\0EHOSTUNREACH\0EALREADY\0"
    "EINPROGRESS\0ESTALE\0EUCLEAN\0ENOTNAM\0ENAVAIL\0EISNAM\0EREMOTEIO\0EDQUOT\0ENOMEDIUM\0"
    "EMEDIUMTYPE\0ECANCELED\0ENOKEY\0EKEYEXPIRED\0EKEYREVOKED\0EKEYREJECTED\0EOWNERDEAD\0"
    "ENOTRECOVERABLE\0ERFKILL\0EHWPOISON\0";

static const char *errno_name(u32 number)
{
    const char *name = errno_names;
    for (u32 i = 1; i < number && name < errno_names + sizeof(errno_names) - 1; i++)
        name += strlen(name) + 1;
    return name < errno_names + sizeof(errno_names) - 1 && *name ? name : NULL;
}

int trace_format_result(char *buf, size_t size, u64 nr, long result)
{
    struct out o = {buf, size, 0};
    (void)nr;
    if (result < 0 && result >= -4095) {
        const char *name = errno_name((u32)-result);
        if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK)
            put(&o, " = ? (interrupted by a signal)");
        else if (name)
            put(&o, " = -1 %s", name);
        else
            put(&o, " = -1 errno %ld", -result);
    } else if (result < 0 || result >= RESULT_IS_ADDRESS) {
        put(&o, " = 0x%lx", (u64)result);
    } else {
        put(&o, " = %ld", result);
    }
    return (int)o.len;
}
