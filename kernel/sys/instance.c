#include "sys/instance.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "core/cmdline.h"
#include "core/hostname.h"
#include "core/log.h"
#include "fs/config_drive.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "plat/plat.h"
#include "sys/config.h"
#include "sys/json.h"
#include "vfs/file.h"
#include "vfs/path.h"

enum { MAX_NODES = 4096, PATH_MOST = 512, FIRMWARE_TEXT = 256 };

/* ---- host name ---- */

/* The first label of a name, if it is one (RFC 1123, 2.1), as the host name and in HOSTNAME. */
static void take_hostname(struct program_config *config, const char *name)
{
    char word[16 + HOSTNAME_MAX];
    size_t len = 0;

    if (cmdline_get("ingot.hostname") || !name)
        return;
    for (char c; (c = name[len]) && c != '.' && c != '\n' && c != '\r'; len++) {
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    (c == '-' && len);
        if (!good || len == HOSTNAME_MAX) {
            log_warn("instance: '%.64s' is no host name", name);
            return;
        }
    }
    if (!len)
        return;
    const char *before = config_env(config, "HOSTNAME");
    bool ours = before && !strcmp(before, hostname);
    memcpy(hostname, name, len);
    hostname[len] = '\0';
    format(word, sizeof(word), "HOSTNAME=%s", hostname);
    if (ours && config_set_env(config, word))
        log_err("instance: no memory for HOSTNAME");
}

/* ---- files ---- */

static u32 mode_of(const char *text)
{
    u32 mode = 0;

    if (!text)
        return 0644;
    for (; *text >= '0' && *text <= '7' && mode < 01000; text++)
        mode = mode * 8 + (u32)(*text - '0');
    return *text ? 0644 : mode & 07777;
}

static void make_parents(const char *path)
{
    char dir[PATH_MOST];

    for (size_t i = 1; path[i] && i < sizeof(dir); i++) {
        if (path[i] != '/')
            continue;
        memcpy(dir, path, i);
        dir[i] = '\0';
        (void)vfs_mkdir(dir, 0755); /* if it failed the open says so */
    }
}

static void write_file(const char *path, const char *text, size_t len, u32 mode)
{
    struct iovec iov;
    struct iov_iter from;
    struct file *file;
    s64 pos = 0;
    int err = -EINVAL;

    if (path[0] == '/' && strlen(path) < PATH_MOST) {
        make_parents(path);
        err = vfs_open(path, O_WRONLY | O_CREAT | O_TRUNC, mode, &file);
    }
    if (!err) {
        char *copy = (char *)(uintptr_t)text;
        iter_init_kernel(&from, &iov, copy, len);
        ssize_t n = len ? file_write(file, &from, &pos) : 0;
        err = n == (ssize_t)len ? 0 : -ENOSPC;
        file_put(file);
    }
    if (err)
        log_warn("instance: file '%s' cannot be written (error %d)", path, -err);
}

/* "files" is ours, "write_files" cloud-init's, with "permissions". */
static void take_files(const struct json_node *nodes, const struct json_node *array)
{
    for (const struct json_node *n = json_first(nodes, array); n; n = json_next(nodes, n)) {
        const char *path = json_string(json_member(nodes, n, "path"));
        const char *text = json_string(json_member(nodes, n, "content"));
        const char *mode = json_string(json_member(nodes, n, "mode"));
        if (!mode)
            mode = json_string(json_member(nodes, n, "permissions"));
        if (path && text)
            write_file(path, text, strlen(text), mode_of(mode));
        else
            log_warn("instance: a file needs 'path' and 'content'");
    }
}

/* ---- environment and arguments ---- */

/* The command line's variables stay. */
static int take_variable(struct program_config *config, const char *word)
{
    const char *equals = strchr(word, '='), *given;
    u32 pos = 0;

    if (!equals || equals == word) {
        log_warn("instance: '%s' is no KEY=value", word);
        return 0;
    }
    while ((given = cmdline_next_env(&pos)))
        if (!strncmp(given, word, (size_t)(equals - word) + 1))
            return 0;
    return config_set_env(config, word);
}

/* An array of "KEY=value", or an object. */
static int take_env(struct program_config *config, const struct json_node *nodes,
                    const struct json_node *env)
{
    int err = 0;

    for (const struct json_node *n = json_first(nodes, env); n && !err; n = json_next(nodes, n)) {
        const char *text = json_string(n);
        if (!text) {
            log_warn("instance: a variable that is no string is left out");
            continue;
        }
        if (!n->key) {
            err = take_variable(config, text);
            continue;
        }
        size_t size = strlen(n->key) + strlen(text) + 2;
        char *word = kmalloc(size);
        if (!word)
            return -ENOMEM;
        format(word, size, "%s=%s", n->key, text);
        err = take_variable(config, word);
        kfree(word);
    }
    return err;
}

static int take_args(struct program_config *config, const struct json_node *nodes,
                     const struct json_node *args)
{
    u32 pos = 0;
    int err = 0;

    if (!args || cmdline_next_arg(&pos))
        return 0;
    config_drop_args(config);
    for (const struct json_node *n = json_first(nodes, args); n && !err; n = json_next(nodes, n)) {
        const char *text = json_string(n);
        if (text)
            err = config_add_arg(config, text);
        else
            log_warn("instance: an argument that is no string is left out");
    }
    return err;
}

static const char *const known[] = {"hostname", "env", "args", "files", "write_files"};

static void warn_unknown(const struct json_node *nodes)
{
    for (const struct json_node *n = json_first(nodes, nodes); n; n = json_next(nodes, n)) {
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(known) && !found; i++)
            found = n->key && !strcmp(n->key, known[i]);
        if (!found)
            log_warn("instance: unknown key '%s' in the user data", n->key ? n->key : "");
    }
}

static int take_object(struct program_config *config, const struct json_node *nodes)
{
    warn_unknown(nodes);
    take_hostname(config, json_string(json_member(nodes, nodes, "hostname")));
    take_files(nodes, json_member(nodes, nodes, "files"));
    take_files(nodes, json_member(nodes, nodes, "write_files"));
    int err = take_env(config, nodes, json_member(nodes, nodes, "env"));
    return err ? err : take_args(config, nodes, json_member(nodes, nodes, "args"));
}

/* JSON, behind lines that begin with '#': "#cloud-config" is one, and JSON is YAML. */
static void take_user_data(struct program_config *config, char *text, size_t len)
{
    size_t at = 0, where = 0;

    while (at < len && (text[at] == '#' || text[at] == '\n' || text[at] == '\r')) {
        bool comment = text[at++] == '#';
        while (comment && at < len && text[at] != '\n')
            at++;
    }
    if (at == len)
        return;
    struct json_node *nodes = kcalloc(MAX_NODES, sizeof(*nodes));
    int count = nodes ? json_parse(text + at, len - at, nodes, MAX_NODES, &where) : -ENOMEM;
    if (count < 0)
        log_warn("instance: the user data are not used: no JSON near byte %zu", at + where);
    else if (nodes[0].type != JSON_OBJECT)
        log_warn("instance: the user data are not used: no JSON object");
    else if (take_object(config, nodes))
        log_err("instance: no memory for the user data");
    kfree(nodes);
}

/* ---- sources ---- */

char *instance_openstack_hostname(char *json, size_t len)
{
    struct json_node *nodes = kcalloc(MAX_NODES, sizeof(*nodes));
    char *name = NULL;

    if (nodes && json_parse(json, len, nodes, MAX_NODES, NULL) > 0) {
        const char *text = json_string(json_member(nodes, nodes, "hostname"));
        name = text ? kstrdup(text) : NULL;
    }
    kfree(nodes);
    return name;
}

/* The value of "local-hostname: NAME" in NoCloud's meta-data. */
static char *nocloud_hostname(char *text)
{
    static const char key[] = "local-hostname:";

    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!str_starts(line, key))
            continue;
        char *value = line + sizeof(key) - 1;
        while (*value == ' ' || *value == '"' || *value == '\'')
            value++;
        size_t len = 0;
        while (value[len] > ' ' && value[len] != '"' && value[len] != '\'')
            len++;
        value[len] = '\0';
        return kstrdup(value);
    }
    return NULL;
}

static bool ask_drive(struct instance_data *out)
{
    struct config_drive drive = config_drive_find();
    bool openstack = drive.kind == CONFIG_DRIVE_OPENSTACK;
    size_t len;

    if (drive.kind == CONFIG_DRIVE_NONE)
        return false;
    char *meta = config_drive_read(
        &drive, openstack ? "openstack/latest/meta_data.json" : "meta-data", &len);
    if (meta)
        out->hostname = openstack ? instance_openstack_hostname(meta, len) : nocloud_hostname(meta);
    kfree(meta);
    out->user_data = config_drive_read(
        &drive, openstack ? "openstack/latest/user_data" : "user-data", &out->user_data_len);
    return true;
}

/* What the firmware calls the machine. */
static const char *sources_of_firmware(void)
{
    static const struct {
        const char *text, *sources;
    } machines[] = {
        {"Amazon EC2", "ec2"},
        {"Google Compute Engine", "gce"},
        {"OpenStack", "drive,openstack"},
        {"ds=nocloud", "drive"},
    };
    char text[FIRMWARE_TEXT];

    if (!plat.firmware_text || !plat.firmware_text(text, sizeof(text)))
        return NULL;
    for (const char *line = text; *line; line++)
        for (size_t i = 0; i < ARRAY_LEN(machines); i++)
            if (str_starts(line, machines[i].text))
                return machines[i].sources;
    return NULL;
}

static bool ask_source(const char *name, size_t len, struct instance_data *out)
{
    static const char *const clouds[] = {
        [CLOUD_EC2] = "ec2", [CLOUD_GCE] = "gce", [CLOUD_OPENSTACK] = "openstack"};

    if (len == 5 && !strncmp(name, "drive", len))
        return ask_drive(out);
    for (u32 i = CLOUD_EC2; i <= CLOUD_OPENSTACK; i++)
        if (strlen(clouds[i]) == len && !strncmp(name, clouds[i], len))
            return instance_ask_cloud((enum instance_cloud)i, out);
    log_warn("ingot.config: '%.*s' is none of auto, off, drive, ec2, gce, openstack", (int)len,
             name);
    return false;
}

void instance_configure(struct program_config *config)
{
    const char *sources = cmdline_get("ingot.config");
    struct instance_data data = {0};
    bool answered = false;

    if (!sources)
        sources = config->instance;
    bool by_firmware = sources ? !strcmp(sources, "auto") : boot_info.has_pci;
    if (by_firmware) {
        const char *named = sources_of_firmware();
        sources = named ? named : sources ? "drive" : NULL;
    }
    if (!sources || !strcmp(sources, "off"))
        return;
    for (const char *at = sources; at && !answered; at = strchr(at, ',')) {
        at += *at == ',';
        const char *comma = strchr(at, ',');
        answered = ask_source(at, comma ? (size_t)(comma - at) : strlen(at), &data);
    }
    if (!answered)
        log_warn("instance: no settings from %s", sources);
    take_hostname(config, data.hostname);
    if (data.user_data)
        take_user_data(config, data.user_data, data.user_data_len);
    kfree(data.hostname);
    kfree(data.user_data);
}
