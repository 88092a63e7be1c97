/* Metadata servers of clouds, over HTTP at the link-local address: EC2's IMDSv2 (a token first),
 * that of Google, and OpenStack's.  HTTP/1.0 (RFC 1945), so that an answer ends with its
 * connection. Times are short: where nobody answers the start goes on. */
#include "abi/errno.h"
#include "abi/socket.h"
#include "core/log.h"
#include "core/time.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "net/ip.h"
#include "net/socket.h"
#include "sys/instance.h"
#include "sys/socket_file.h"
#include "vfs/file.h"

enum { ANSWER_MAX = 256 << 10, REQUEST_MAX = 512, TOKEN_MAX = 128, PORT_HTTP = 80 };
static const u64 step_ns = NSEC_PER_SEC, pause_ns = 300 * NSEC_PER_MSEC;
static const u32 tries = 4;

/* What a server said. */
struct answer {
    char *text; /* all of it, owns */
    char *body; /* in .text, NUL-terminated */
    size_t len; /* of the body */
    u32 status;
};

static int send_all(struct socket *sock, char *text)
{
    struct iovec iov;
    struct iov_iter data;
    struct sock_msg msg = {.data = &data};

    for (size_t left = strlen(text); left;) {
        iter_init_kernel(&data, &iov, text, left);
        ssize_t n = sock->ops->send(sock, &msg);
        if (n <= 0)
            return n ? (int)n : -EPIPE;
        text += n;
        left -= (size_t)n;
    }
    return 0;
}

static ssize_t receive_all(struct socket *sock, char *text)
{
    struct iovec iov;
    struct iov_iter data;
    struct sock_msg msg = {.data = &data};
    size_t done = 0;

    while (done < ANSWER_MAX) {
        iter_init_kernel(&data, &iov, text + done, ANSWER_MAX - done);
        ssize_t n = sock->ops->recv(sock, &msg);
        if (n < 0)
            return n;
        if (n == 0)
            return (ssize_t)done;
        done += (size_t)n;
    }
    return -EFBIG;
}

/* "HTTP/1.x NNN ...", lines, an empty line, the body. */
static bool take_apart(struct answer *a, size_t len)
{
    char *end = a->text;

    a->text[len] = '\0';
    if (!str_starts(a->text, "HTTP/1.") || len < 12)
        return false;
    for (u32 i = 9; i < 12; i++)
        a->status = a->status * 10 + (u32)(a->text[i] - '0');
    while ((end = strchr(end, '\n')) && end[1] != '\n' && !(end[1] == '\r' && end[2] == '\n'))
        end++;
    if (!end)
        return false;
    a->body = end + (end[1] == '\n' ? 2 : 3);
    a->len = len - (size_t)(a->body - a->text);
    return true;
}

static int talk(struct socket *sock, char *request, struct answer *a)
{
    static const struct sockaddr_in_abi server = {
        .family = AF_INET, .port = {0, PORT_HTTP}, .addr = {169, 254, 169, 254}};
    struct sock_addr to = {.len = sizeof(server)};

    memcpy(to.bytes, &server, sizeof(server));
    sock->options.send_timeout_ns = sock->options.recv_timeout_ns = step_ns;
    int err = sock->ops->connect(sock, &to);
    if (!err)
        err = send_all(sock, request);
    if (err)
        return err;
    ssize_t n = receive_all(sock, a->text);
    if (n < 0)
        return (int)n;
    return take_apart(a, (size_t)n) ? 0 : -EPROTO;
}

static void answer_free(struct answer *a)
{
    kfree(a->text);
    *a = (struct answer){0};
}

/* One request. @header: whole lines, or "". 0 and *@out, the caller's to free; or a negative errno.
 */
static int ask(const char *method, const char *path, const char *header, struct answer *out)
{
    int err;
    const struct proto_ops *ops = proto_find(AF_INET, SOCK_STREAM, 0, &err);
    char request[REQUEST_MAX];
    struct file *file;

    if (!ops)
        return err;
    err = socket_file_create(ops, 0, 0, &file);
    if (err)
        return err;
    *out = (struct answer){.text = kmalloc(ANSWER_MAX + 1)};
    format(request, sizeof(request), "%s %s HTTP/1.0\r\nHost: 169.254.169.254\r\n%s\r\n", method,
           path, header);
    err = out->text ? ops->create(file->data) : -ENOMEM;
    if (!err)
        err = talk(file->data, request, out);
    if (err)
        answer_free(out);
    file_put(file);
    return err;
}

/* The same until somebody answers, at the start: the network may be a moment behind. */
static int ask_first(const char *method, const char *path, const char *header, struct answer *out)
{
    int err = 0;

    for (u32 i = 0; i < tries; i++) {
        err = ask(method, path, header, out);
        if (!err || err == -EINTR || err == -ENOMEM)
            break;
        u64 until = time_after_ns(pause_ns);
        struct waitq nobody;
        waitq_init(&nobody);
        (void)wait_event(&nobody, time_ns() >= until, false, until); /* a pause, no more */
    }
    return err;
}

/* The body of what was found, the caller's to free; NULL: not found. */
static char *fetch(const char *path, const char *header, size_t *len)
{
    struct answer a;
    char *text = NULL;

    if (ask("GET", path, header, &a))
        return NULL;
    if (a.status == 200 && (text = kmalloc(a.len + 1))) {
        memcpy(text, a.body, a.len + 1);
        *len = a.len;
    }
    answer_free(&a);
    return text;
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static bool ask_ec2(struct instance_data *out)
{
    char header[TOKEN_MAX + 40];
    struct answer token;
    size_t len;

    int err =
        ask_first("PUT", "/latest/api/token",
                  "X-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\n", &token);
    if (err)
        return false;
    bool good = token.status == 200 && token.len < TOKEN_MAX && is_plain(token.body);
    if (good)
        format(header, sizeof(header), "X-aws-ec2-metadata-token: %s\r\n", token.body);
    answer_free(&token);
    if (!good) {
        log_warn("metadata: the server gives no token");
        return false;
    }
    out->hostname = fetch("/latest/meta-data/local-hostname", header, &len);
    out->user_data = fetch("/latest/user-data", header, &out->user_data_len);
    return true;
}

static bool ask_gce(struct instance_data *out)
{
    static const char header[] = "Metadata-Flavor: Google\r\n";
    struct answer name;

    if (ask_first("GET", "/computeMetadata/v1/instance/hostname", header, &name))
        return false;
    out->hostname = name.status == 200 ? kstrdup(name.body) : NULL;
    answer_free(&name);
    out->user_data =
        fetch("/computeMetadata/v1/instance/attributes/user-data", header, &out->user_data_len);
    return true;
}

static bool ask_openstack(struct instance_data *out)
{
    struct answer meta;

    if (ask_first("GET", "/openstack/latest/meta_data.json", "", &meta))
        return false;
    if (meta.status == 200)
        out->hostname = instance_openstack_hostname(meta.body, meta.len);
    answer_free(&meta);
    out->user_data = fetch("/openstack/latest/user_data", "", &out->user_data_len);
    return true;
}

bool instance_ask_cloud(enum instance_cloud cloud, struct instance_data *out)
{
    net_init();
    (void)net_wait_configured(); /* without an address nobody answers, which is said below */
    switch (cloud) {
    case CLOUD_EC2:
        return ask_ec2(out);
    case CLOUD_GCE:
        return ask_gce(out);
    case CLOUD_OPENSTACK:
        return ask_openstack(out);
    default:
        return false;
    }
}
