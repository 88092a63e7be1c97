#include "image/config.h"

#include "lib/cleanup.h"
#include "lib/types.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONFIG_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void image_config_free(struct image_config *config)
{
    struct strs *const lists[] = {&config->entrypoint, &config->cmd,     &config->env,
                                  &config->exposed,    &config->volumes, &config->labels,
                                  &config->health.test};

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        strs_free(lists[i]);
    free(config->workdir);
    free(config->stopsignal);
    free(config->user);
    *config = (struct image_config){0};
}

void config_defaults(struct image_config *config)
{
    strs_add(&config->env, CONFIG_PATH);
    config->workdir = str_dup("/");
    config->stopsignal = str_dup("SIGTERM");
    config->user = str_dup("");
}

static size_t config_name_len(const char *assignment)
{
    return strcspn(assignment, "=");
}

static char **config_find(const struct strs *env, const char *name, size_t len)
{
    for (size_t i = 0; i < env->len; i++)
        if (config_name_len(env->at[i]) == len && strncmp(env->at[i], name, len) == 0)
            return &env->at[i];
    return NULL;
}

void config_setenv(struct strs *env, const char *assignment)
{
    char **old = config_find(env, assignment, config_name_len(assignment));

    if (!old) {
        strs_add(env, assignment);
        return;
    }
    free(*old);
    *old = str_dup(assignment);
}

const char *config_getenv(const struct strs *env, const char *name)
{
    char **found = config_find(env, name, strlen(name));

    return found && strchr(*found, '=') ? strchr(*found, '=') + 1 : NULL;
}

int config_signal(const char *name)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);

    if (*name && !*end)
        return number >= 1 && number <= 64 ? (int)number : 0;
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < 32; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcasecmp(known, name) == 0)
            return i;
    }
    if (strncasecmp(name, "RTMIN", 5) == 0) {
        number = strtoul(name + 5, &end, 10); /* "RTMIN+3", as systemd images have */
        return !*end && number <= 30 ? 34 + (int)number : 0;
    }
    return 0;
}

/* Members that are objects with the names as keys: ExposedPorts, Volumes. */
static bool config_keys(const json_t *object, const char *member, struct strs *out)
{
    json_t *set = json_object_get(object, member), *value;
    const char *key;

    if (!set || json_is_null(set))
        return true;
    if (!json_is_object(set))
        return false;
    json_object_foreach(set, key, value) strs_add(out, key);
    return true;
}

static bool config_labels(const json_t *object, struct strs *out)
{
    json_t *set = json_object_get(object, "Labels"), *value;
    const char *key;

    if (!set || json_is_null(set))
        return true;
    if (!json_is_object(set))
        return false;
    json_object_foreach(set, key, value)
    {
        if (!json_is_string(value))
            return false;
        strs_take(out, str_printf("%s=%s", key, json_string_value(value)));
    }
    return true;
}

static bool config_string(const json_t *object, const char *member, const char *otherwise,
                          char **out)
{
    const json_t *value = json_object_get(object, member);

    if (value && !json_is_null(value) && !json_is_string(value))
        return false;
    const char *text = json_string_value(value);
    *out = str_dup(text && *text ? text : otherwise);
    return true;
}

static bool config_count(const json_t *object, const char *member, int64_t *out)
{
    const json_t *value = json_object_get(object, member);

    *out = json_is_integer(value) ? json_integer_value(value) : 0;
    return (!value || json_is_integer(value)) && *out >= 0;
}

static bool config_health(const json_t *object, struct image_health *health)
{
    const json_t *check = json_object_get(object, "Healthcheck");

    if (!check || json_is_null(check))
        return true;
    return json_is_object(check) && json_strs(check, "Test", &health->test) &&
           config_count(check, "Interval", &health->interval_ns) &&
           config_count(check, "Timeout", &health->timeout_ns) &&
           config_count(check, "StartPeriod", &health->start_ns) &&
           config_count(check, "Retries", &health->retries);
}

static const char *config_fill(const json_t *object, struct image_config *c)
{
    if (!json_strs(object, "Entrypoint", &c->entrypoint))
        return "Entrypoint";
    if (!json_strs(object, "Cmd", &c->cmd))
        return "Cmd";
    if (!json_strs(object, "Env", &c->env))
        return "Env";
    if (!config_string(object, "WorkingDir", "/", &c->workdir) || c->workdir[0] != '/')
        return "WorkingDir";
    if (!config_string(object, "StopSignal", "SIGTERM", &c->stopsignal) ||
        !config_signal(c->stopsignal))
        return "StopSignal";
    if (!config_string(object, "User", "", &c->user))
        return "User";
    if (!config_keys(object, "ExposedPorts", &c->exposed))
        return "ExposedPorts";
    if (!config_keys(object, "Volumes", &c->volumes))
        return "Volumes";
    if (!config_health(object, &c->health))
        return "Healthcheck";
    return config_labels(object, &c->labels) ? NULL : "Labels";
}

int config_parse(const json_t *root, struct image_config *out, struct err *err)
{
    const json_t *object = json_object_get(root, "config");

    if (!json_is_object(root) || (object && !json_is_object(object)))
        return err_set(err, EINVAL, "image config: not an object");
    const char *bad = config_fill(object, out);
    if (!bad)
        return 0;
    image_config_free(out);
    return err_set(err, EINVAL, "image config: '%s' has a value that makes no sense", bad);
}

int config_parse_text(const char *text, size_t len, struct image_config *out, struct err *err)
{
    json_error_t why;
    json_t *root CLEANUP(json_put) = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);

    if (!root)
        return err_set(err, EINVAL, "image config: line %d: not valid JSON: %s", why.line,
                       why.text);
    return config_parse(root, out, err);
}

static void config_put_strs(json_t *object, const char *member, const struct strs *list)
{
    if (list->len)
        json_object_set_new(object, member, json_from_strs(list));
}

static void config_put_keys(json_t *object, const char *member, const struct strs *list)
{
    if (!list->len)
        return;
    json_t *set = json_object();
    for (size_t i = 0; i < list->len; i++)
        json_object_set_new(set, list->at[i], json_object());
    json_object_set_new(object, member, set);
}

static void config_put_labels(json_t *object, const struct strs *list)
{
    if (!list->len)
        return;
    json_t *set = json_object();
    for (size_t i = 0; i < list->len; i++) {
        const char *equals = strchr(list->at[i], '=');
        char *key CLEANUP(mem_free) =
            str_printf("%.*s", (int)config_name_len(list->at[i]), list->at[i]);
        json_object_set_new(set, key, json_string(equals ? equals + 1 : ""));
    }
    json_object_set_new(object, "Labels", set);
}

static void config_put_health(json_t *object, const struct image_health *health)
{
    const struct {
        const char *member;
        int64_t value;
    } counts[] = {
        {"Interval", health->interval_ns},
        {"Timeout", health->timeout_ns},
        {"StartPeriod", health->start_ns},
        {"Retries", health->retries},
    };

    if (!health->test.len)
        return;
    json_t *check = json_object();
    json_object_set_new(check, "Test", json_from_strs(&health->test));
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        if (counts[i].value)
            json_object_set_new(check, counts[i].member, json_integer(counts[i].value));
    json_object_set_new(object, "Healthcheck", check);
}

json_t *config_json(const struct image_config *config)
{
    json_t *object = json_object();

    config_put_strs(object, "Entrypoint", &config->entrypoint);
    config_put_strs(object, "Cmd", &config->cmd);
    config_put_strs(object, "Env", &config->env);
    json_object_set_new(object, "WorkingDir", json_string(config->workdir));
    json_object_set_new(object, "StopSignal", json_string(config->stopsignal));
    if (config->user && *config->user)
        json_object_set_new(object, "User", json_string(config->user));
    config_put_keys(object, "ExposedPorts", &config->exposed);
    config_put_keys(object, "Volumes", &config->volumes);
    config_put_labels(object, &config->labels);
    config_put_health(object, &config->health);
    return object;
}
