#include "sys/config.h"

#include "abi/errno.h"
#include "core/cmdline.h"
#include "core/hostname.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sys/json.h"

enum { MAX_NODES = 1 << 17 }; /* of 32 bytes: the largest block there is */

static int list_add_owned(struct string_list *list, char *text)
{
    if (!text)
        return -ENOMEM;
    if (list->count + 1 >= list->capacity) {
        u32 capacity = list->capacity ? list->capacity * 2 : 16;
        char **items = krealloc(list->items, capacity * sizeof(char *));
        if (!items) {
            kfree(text);
            return -ENOMEM;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = text;
    list->items[list->count] = NULL;
    return 0;
}

static int list_push(struct string_list *list, const char *text)
{
    return list_add_owned(list, kstrdup(text));
}

/* Every string of a JSON array. */
static int push_array(struct string_list *list, const struct json_node *nodes,
                      const struct json_node *array)
{
    for (const struct json_node *n = json_first(nodes, array); n; n = json_next(nodes, n)) {
        const char *text = json_string(n);
        if (!text)
            return -EINVAL;
        int err = list_push(list, text);
        if (err)
            return err;
    }
    return 0;
}

static size_t key_len(const char *word)
{
    const char *equals = strchr(word, '=');

    return equals ? (size_t)(equals - word) : strlen(word);
}

static char **find_env(const struct string_list *env, const char *key, size_t len)
{
    for (u32 i = 0; i < env->count; i++)
        if (key_len(env->items[i]) == len && !memcmp(env->items[i], key, len))
            return &env->items[i];
    return NULL;
}

/* Add KEY=value, or replace the one there is. */
static int set_env(struct string_list *env, const char *word)
{
    char **slot = find_env(env, word, key_len(word));
    if (!slot)
        return list_push(env, word);
    char *copy = kstrdup(word);
    if (!copy)
        return -ENOMEM;
    kfree(*slot);
    *slot = copy;
    return 0;
}

const char *config_env(const struct program_config *config, const char *key)
{
    char **slot = find_env(&config->env, key, strlen(key));

    if (!slot)
        return NULL;
    size_t len = strlen(key);
    return (*slot)[len] == '=' ? *slot + len + 1 : NULL;
}

int config_set_env(struct program_config *config, const char *word)
{
    return set_env(&config->env, word);
}

void config_drop_args(struct program_config *config)
{
    struct string_list *argv = &config->argv;

    /* where the image names no entry point, Cmd names the program */
    for (u32 keep = max(config->nr_fixed, 1u); argv->count > keep; argv->items[argv->count] = NULL)
        kfree(argv->items[--argv->count]);
}

int config_add_arg(struct program_config *config, const char *text)
{
    return list_push(&config->argv, text);
}

static int default_env(struct program_config *config, bool terminal)
{
    char word[16 + HOSTNAME_MAX] = "HOSTNAME=";
    int err =
        set_env(&config->env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

    str_copy(word + strlen(word), hostname, HOSTNAME_MAX + 1);
    if (!err)
        err = set_env(&config->env, word);
    if (!err && terminal)
        err = set_env(&config->env, "TERM=xterm");
    return err ? err : set_env(&config->env, "HOME=/root");
}

static int replace_string(char **slot, const char *text)
{
    if (!text || !*text)
        return 0;
    char *copy = kstrdup(text);
    if (!copy)
        return -ENOMEM;
    kfree(*slot);
    *slot = copy;
    return 0;
}

static int take_env(struct program_config *config, const struct json_node *nodes,
                    const struct json_node *array)
{
    for (const struct json_node *n = json_first(nodes, array); n; n = json_next(nodes, n)) {
        const char *word = json_string(n);
        int err = word ? set_env(&config->env, word) : -EINVAL;
        if (err)
            return err;
    }
    return 0;
}

/* Entrypoint, then the arguments of the command line or Cmd; init= stands for both. */
static int take_argv(struct program_config *config, const struct json_node *nodes,
                     const struct json_node *object)
{
    const char *init = cmdline_get("init"), *arg;
    u32 pos = 0, given = 0;
    int err = init && *init
                  ? list_push(&config->argv, init)
                  : push_array(&config->argv, nodes, json_member(nodes, object, "Entrypoint"));

    config->nr_fixed = config->argv.count;
    while (!err && (arg = cmdline_next_arg(&pos))) {
        err = list_push(&config->argv, arg);
        given++;
    }
    if (err || given || (init && *init))
        return err;
    return push_array(&config->argv, nodes, json_member(nodes, object, "Cmd"));
}

static int take_object(struct program_config *config, const struct json_node *nodes,
                       const struct json_node *object)
{
    const struct json_node *labels = json_member(nodes, object, "Labels");
    const char *wx = json_string(json_member(nodes, labels, "org.ingot.wx"));
    const char *seal = json_string(json_member(nodes, labels, "org.ingot.seal"));
    int err = take_env(config, nodes, json_member(nodes, object, "Env"));

    if (!err)
        err = replace_string(&config->exec,
                             json_string(json_member(nodes, labels, "org.ingot.exec")));
    if (!err)
        err = replace_string(&config->instance,
                             json_string(json_member(nodes, labels, "org.ingot.config")));
    config->wx_strict = wx && !strcmp(wx, "strict");
    config->seal = seal && !strcmp(seal, "1");
    if (!err)
        err = replace_string(&config->cwd, json_string(json_member(nodes, object, "WorkingDir")));
    if (!err)
        err = replace_string(&config->user, json_string(json_member(nodes, object, "User")));
    if (!err)
        err = replace_string(&config->stop_signal,
                             json_string(json_member(nodes, object, "StopSignal")));
    return err ? err : take_argv(config, nodes, object);
}

static int take_cmdline(struct program_config *config)
{
    const char *word;
    u32 pos = 0;
    int err = replace_string(&config->cwd, cmdline_get("ingot.cwd"));

    if (!err)
        err = replace_string(&config->stop_signal, cmdline_get("ingot.stopsignal"));
    if (!err)
        err = replace_string(&config->user, cmdline_get("ingot.user"));
    while (!err && (word = cmdline_next_env(&pos)))
        err = set_env(&config->env, word);
    return err;
}

/* No JSON text has more values than this: each but the first follows one of these signs. */
static u32 count_nodes(const char *json, size_t len)
{
    u32 count = 1;

    for (size_t i = 0; i < len && count < MAX_NODES; i++)
        count += json[i] == ',' || json[i] == '[' || json[i] == '{';
    return count;
}

static int take_json(struct program_config *config, char *json, size_t len, size_t *where)
{
    u32 max = count_nodes(json, len);
    struct json_node *nodes = kcalloc(max, sizeof(*nodes));
    if (!nodes)
        return -ENOMEM;

    int count = json_parse(json, len, nodes, max, where);
    int err = count < 0 ? count : 0;
    if (!err)
        err = take_object(config, nodes, json_member(nodes, &nodes[0], "config"));
    kfree(nodes);
    return err;
}

int config_load(struct program_config *config, char *json, size_t len, bool terminal, size_t *where)
{
    *config = (struct program_config){0};
    *where = 0;
    int err = default_env(config, terminal);

    if (!err)
        err = replace_string(&config->cwd, "/");
    if (!err)
        err = json ? take_json(config, json, len, where) : take_argv(config, NULL, NULL);
    return err ? err : take_cmdline(config);
}

int signal_number(const char *name)
{
    static const char names[][8] = {
        "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN", "TTOU",
        "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS",
    };
    enum { RTMIN = 34, RTMAX = 64 };
    u64 number;

    if (!str_to_u64(name, &number))
        return number >= 1 && number <= RTMAX ? (int)number : 0;
    if (str_starts(name, "SIG"))
        name += 3;
    for (u32 i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(name, names[i]))
            return (int)i + 1;
    if (!strcmp(name, "RTMIN"))
        return RTMIN;
    if (!strcmp(name, "RTMAX"))
        return RTMAX;
    bool up = str_starts(name, "RTMIN+"), down = str_starts(name, "RTMAX-");
    if ((!up && !down) || str_to_u64(name + 6, &number) || number > RTMAX - RTMIN)
        return 0;
    return up ? RTMIN + (int)number : RTMAX - (int)number;
}
