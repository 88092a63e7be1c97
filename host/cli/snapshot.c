/* ingot snapshot, ingot restore: a guest's state kept, and gone on from. */
#include "cli/cli.h"
#include "cli/copy_net.h"
#include "cli/instances.h"
#include "cli/run_priv.h"

#include "instance/events.h"
#include "instance/guest.h"
#include "instance/snapshot.h"
#include "instance/supervisor.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "vm/net.h"
#include "volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct snapshot_options {
    bool quiet;
    const char *format;
};

static const struct option_spec snapshot_specs[] = {
    {"quiet", 'q', OPTION_FLAG, offsetof(struct snapshot_options, quiet), NULL, "ls: names only"},
    {"format", 0, OPTION_TEXT, offsetof(struct snapshot_options, format), "table|json",
     "ls: how to print"},
    {0},
};

struct volumes {
    struct strs words;
    struct snapshot_volume *at; /* owned */
    size_t len;
};

static void volumes_free(struct volumes *volumes)
{
    for (size_t i = 0; i < volumes->len; i++)
        free(volumes->at[i].path);
    free(volumes->at);
    strs_free(&volumes->words);
}

/* The writable volumes of an instance; what cannot be part of a snapshot is refused. */
static int find_volumes(const json_t *config, struct volumes *volumes, struct err *err)
{
    json_strs(config, "Volumes", &volumes->words);
    volumes->at = mem_new((volumes->words.len + 1) * sizeof(*volumes->at));
    for (size_t i = 0; i < volumes->words.len; i++) {
        char *path CLEANUP(mem_free) = NULL;
        const char *word = volumes->words.at[i];
        bool readonly;
        int failed = run_volume_file(word, &path, &readonly, err);
        if (failed)
            return failed;
        if (fs_is_dir(path))
            return err_set(err, EOPNOTSUPP,
                           "--volume '%s': a folder of the host cannot be part of a snapshot",
                           word);
        if (!readonly)
            volumes->at[volumes->len++] =
                (struct snapshot_volume){.word = word, .path = TAKE(path, NULL)};
    }
    return 0;
}

static int check_ground(const struct instance *instance, const json_t *config, const char *what,
                        struct err *err)
{
    struct instance_state state;

    instance_get_state(instance, &state);
    if (strcmp(json_str(config, "Isolation", "vm"), "vm") != 0)
        return err_set(err, EOPNOTSUPP,
                       "instance '%s' is a process of this machine; only a VM can be %s (run it "
                       "with --isolation vm)",
                       instance->name, what);
    if (!instance_is_live(instance))
        return err_set(err, ESRCH, "instance '%s' is not running", instance->name);
    if (state.foreground)
        return err_set(err, EINVAL, "instance '%s' runs on a terminal, so it cannot be %s",
                       instance->name, what);
    return 0;
}

static int make(const char *name, const char *tag, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    struct volumes volumes CLEANUP(volumes_free) = {0};
    int failed = instance_open(&instance, name, err);

    if (failed)
        return failed;
    json_t *config CLEANUP(json_put) = instance_config(&instance, err);
    if (!config)
        return -err->code;
    failed = check_ground(&instance, config, "snapshotted", err);
    if (!failed)
        failed = find_volumes(config, &volumes, err);
    if (!failed)
        failed = snapshot_make(&instance, tag, volumes.at, volumes.len, err);
    if (!failed)
        puts(tag);
    return failed;
}

static void print_row(const struct snapshot *snapshot)
{
    char age[32], size[16];
    s64 made = json_int(snapshot->about, "Created", 0);
    char *created CLEANUP(mem_free) =
        str_printf("%s ago", instances_span(instance_clock() - made, age));

    printf("%-20s %-20s %-24s %-22s %s\n", snapshot->name,
           json_str(snapshot->about, "Instance", "?"), json_str(snapshot->config, "Image", "?"),
           created, cli_size((u64)json_int(snapshot->about, "StateBytes", 0), size));
}

static int list(const struct snapshot_options *options, struct err *err)
{
    struct strs names CLEANUP(strs_free) = {0};
    bool json = false;
    int failed = cli_format(options->format, &json, err);

    if (!failed)
        failed = snapshot_list(&names, err);
    if (failed)
        return failed;
    json_t *rows CLEANUP(json_put) = json_array();
    if (!json && !options->quiet)
        printf("%-20s %-20s %-24s %-22s %s\n", "NAME", "INSTANCE", "IMAGE", "CREATED", "SIZE");
    for (size_t i = 0; i < names.len; i++) {
        struct snapshot snapshot CLEANUP(snapshot_close) = {0};
        (void)snapshot_open(&snapshot, names.at[i], NULL); /* one that is damaged is listed too */
        if (options->quiet)
            puts(names.at[i]);
        else if (json && snapshot.about)
            json_array_append(rows, snapshot.about);
        else if (!json && snapshot.about && snapshot.config)
            print_row(&snapshot);
        else if (!json)
            printf("%-20s damaged\n", names.at[i]);
    }
    if (json) {
        char *text CLEANUP(mem_free) = json_text(rows, 2);
        puts(text);
    }
    return 0;
}

static int remove_all(int words, char **argv, struct err *err)
{
    int failed = 0;

    for (int i = 2; i <= words && !failed; i++) {
        failed = snapshot_remove(argv[i], err);
        if (!failed)
            puts(argv[i]);
    }
    return failed;
}

static int snapshot_run(int argc, char **argv, struct err *err)
{
    struct snapshot_options options = {0};
    int words;
    int done = cli_options(&command_snapshot, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (done)
        return min(done, 0);
    if (words == 1 && strcmp(argv[1], "ls") == 0)
        return list(&options, err);
    if (words >= 2 && strcmp(argv[1], "rm") == 0)
        return remove_all(words, argv, err);
    if (words != 2)
        return err_set(err, ERR_USAGE, "write 'ingot snapshot NAME TAG', 'ls' or 'rm TAG...'");
    return make(argv[1], argv[2], err);
}

const struct command command_snapshot = {
    .name = "snapshot",
    .summary = "Keep the state of an instance, to go on from it later",
    .usage = "NAME TAG | ls [OPTIONS] | rm TAG...",
    .options = snapshot_specs,
    .help = "  ingot snapshot cache before\n"
            "  ingot restore before                 # cache is again what it was\n"
            "  ingot restore before --name copy     # and another one like it",
    .run = snapshot_run,
};

struct restore_options {
    const char *name, *net;
    struct strs publish;
};

static const struct option_spec restore_specs[] = {
    {"name", 0, OPTION_TEXT, offsetof(struct restore_options, name), "NAME",
     "as an instance of this name, a copy"},
    {"publish", 'p', OPTION_TEXTS, offsetof(struct restore_options, publish), "[HOST:]GUEST",
     "forward these ports, and no others"},
    {"net", 0, OPTION_TEXT, offsetof(struct restore_options, net), "KIND",
     "a copy's network, as --net of run"},
    {0},
};

static void restore_options_fini(struct restore_options *options)
{
    strs_free(&options->publish);
}

static int put_back(const char *file, const char *to, struct err *err)
{
    char *fresh CLEANUP(mem_free) = str_printf("%s.restore", to);
    int fd CLEANUP(fd_close) = open(to, O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        int failed = volume_lock(fd, false, to, NULL, err);
        if (failed)
            return failed;
    }
    int failed = fs_copy(file, fresh, err);
    if (!failed && rename(fresh, to) < 0)
        failed = err_errno(err, errno, "%s", to);
    return failed;
}

/* Volumes are again what they were. */
static int restore_volumes(const struct snapshot *snapshot, struct err *err)
{
    const char *word;
    char *file;
    int failed = 0;

    for (size_t i = 0; !failed && snapshot_get_volume(snapshot, i, &word, &file); i++) {
        char *from CLEANUP(mem_free) = file;
        char *to CLEANUP(mem_free) = NULL;
        bool readonly;
        failed = run_volume_file(word, &to, &readonly, err);
        if (!failed)
            failed = put_back(from, to, err);
    }
    return failed;
}

/* A copy has volumes of its own: NAME-data for data. */
static int copy_volumes(const struct snapshot *snapshot, const char *name, json_t *config,
                        struct err *err)
{
    json_t *words = json_object_get(config, "Volumes");
    const char *word;
    char *file;
    int failed = 0;

    for (size_t i = 0; !failed && snapshot_get_volume(snapshot, i, &word, &file); i++) {
        char *from CLEANUP(mem_free) = file;
        char *source CLEANUP(mem_free) = str_printf("%.*s", (int)strcspn(word, ":"), word);
        char *volume CLEANUP(mem_free) = str_printf("%s-%s", name, fs_name(source));
        char *path CLEANUP(mem_free) = volume_path(volume);
        char *own CLEANUP(mem_free) = str_printf("%s%s", volume, strchr(word, ':'));
        if (fs_exists(path))
            return err_set(err, EEXIST, "volume '%s' exists; 'ingot volume rm %s' removes it",
                           volume, volume);
        failed = fs_copy(from, path, err);
        size_t at;
        json_t *value;
        json_array_foreach(words, at, value) if (strcmp(json_string_value(value), word) == 0)
            json_array_set_new(words, at, json_string(own));
    }
    return failed;
}

static int set_ports(const struct strs *publish, json_t *config, struct err *err)
{
    struct vm_net net = {0};
    int failed = 0;
    bool picked;

    for (size_t i = 0; i < publish->len && !failed; i++) {
        char *full CLEANUP(mem_free) = vm_net_settle_port(publish->at[i], &picked, err);
        failed = full ? vm_net_publish(&net, full, err) : -err->code;
    }
    if (!failed && publish->len)
        json_object_set_new(config, "Ports", run_config_ports(&net));
    vm_net_fini(&net);
    return failed;
}

/* The instance that the snapshot was taken of, if it is still there: it is ended, and goes on from
 * the snapshot.  -ENOENT: it is not there. */
static int reuse(const struct snapshot *snapshot, const char *name, struct instance *instance,
                 struct err *err)
{
    int failed = instance_open(instance, name, NULL);

    if (failed)
        return failed;
    json_t *config CLEANUP(json_put) = instance_config(instance, err);
    if (!config)
        return -err->code;
    if (json_int(config, "Created", 0) != json_int(snapshot->config, "Created", 1))
        return err_set(err, EEXIST,
                       "instance '%s' is not the one that the snapshot was taken of; remove it, "
                       "or restore with --name",
                       name);
    failed = instances_stop(instance, 0, err);
    return failed ? failed : instance_lock(instance, err);
}

/* A copy that keeps who it was would be in its original's way. */
static int become_a_copy(struct instance *copy, const struct copy_net *net, struct err *err)
{
    const struct guest_identity identity = {
        .hostname = copy->name, .mac = *net->mac ? net->mac : NULL, .ip = net->ip};
    int failed = guest_resume(copy, &identity, err);

    if (!failed)
        failed = copy_net_link(copy, net, err);
    if (!failed)
        return 0;
    if (!instances_stop(copy, 0, NULL) && !instance_lock(copy, NULL))
        (void)instance_remove(copy, NULL);
    return err_prefix(err, "it is ended, since it cannot be told that it is a copy");
}

static int go_on(const struct snapshot *snapshot, struct instance *instance, const char *state,
                 const struct copy_net *copy, struct err *err)
{
    struct instance_state before;
    char *name CLEANUP(mem_free) = str_dup(instance->name);
    struct instance running CLEANUP(instance_close) = {.dir = -1, .lock = -1};

    instance_get_state(instance, &before);
    int failed = run_from(instance, &(struct run_state){.file = state, .copy = copy}, err);
    if (failed) {
        bool fresh = before.status == INSTANCE_CREATED;
        if (fresh && !instance_open(&running, name, NULL) && !instance_lock(&running, NULL))
            (void)instance_remove(&running, NULL);
        return failed;
    }
    event_write(name, "restore", json_pack("{s:s}", "Snapshot", snapshot->name));
    failed = instance_open(&running, name, err);
    if (failed)
        return failed;
    return copy ? become_a_copy(&running, copy, err) : guest_resume(&running, NULL, err);
}

static bool is_taken(const char *name)
{
    struct instance other CLEANUP(instance_close) = {.dir = -1, .lock = -1};

    return instance_open(&other, name, NULL) == 0;
}

static int restore_as(const struct snapshot *snapshot, const struct restore_options *options,
                      const char *state, struct err *err)
{
    struct instance instance CLEANUP(instance_close) = {.dir = -1, .lock = -1};
    const char *original = json_str(snapshot->about, "Instance", "");
    const char *name = options->name ? options->name : original;
    struct copy_net net CLEANUP(copy_net_fini) = {0};
    bool copy = strcmp(name, original) != 0;
    json_t *config CLEANUP(json_put) = json_deep_copy(snapshot->config);
    int failed = copy ? -ENOENT : reuse(snapshot, name, &instance, err);

    if (!failed && (options->publish.len || options->net))
        return err_set(err, ERR_USAGE, "--%s: only for a copy; say --name too",
                       options->net ? "net" : "publish");
    if (failed == -ENOENT) {
        failed = copy ? copy_net_settle(&net, options->net, config, err) : 0;
        if (!failed)
            failed = set_ports(&options->publish, config, err);
        if (!failed && copy && !is_taken(name))
            failed = copy_volumes(snapshot, name, config, err);
        if (!failed)
            failed = instance_create(&instance, name, config, err);
    }
    if (!failed && !copy)
        failed = restore_volumes(snapshot, err);
    return failed ? failed : go_on(snapshot, &instance, state, copy ? &net : NULL, err);
}

static int restore_run(int argc, char **argv, struct err *err)
{
    struct restore_options options CLEANUP(restore_options_fini) = {0};
    struct snapshot snapshot CLEANUP(snapshot_close) = {0};
    int words;
    int done = cli_options(&command_restore, argc, argv, OPTIONS_ANYWHERE, &options, &words, err);

    if (done)
        return min(done, 0);
    if (words > 1)
        return err_set(err, ERR_USAGE,
                       "'%s' is too much: a snapshot knows its instance; write 'ingot restore %s'",
                       argv[2], argv[2]);
    if (!words)
        return err_set(err, ERR_USAGE, "which snapshot? 'ingot snapshot ls' lists them");
    supervisor_note_inherited(); /* before anything is opened */
    int failed = snapshot_open(&snapshot, argv[1], err);
    if (failed)
        return failed;
    char *state CLEANUP(mem_free) = snapshot_state(&snapshot, err);
    return state ? restore_as(&snapshot, &options, state, err) : -err->code;
}

const struct command command_restore = {
    .name = "restore",
    .summary = "Go on from a snapshot, in its instance's place or as a copy",
    .usage = "[OPTIONS] TAG",
    .options = restore_specs,
    .help = "A copy has its own name, host name, MAC address, clock and random numbers, and "
            "volumes of\n"
            "its own.\n"
            "  ingot restore before\n"
            "  ingot restore before --name copy -p 6380:6379\n"
            "  ingot restore before --name copy --net tap:tap1,ip=10.0.0.3/24",
    .run = restore_run,
};
