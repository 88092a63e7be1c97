#include "cli/copy_net.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/fs.h"
#include "lib/qmp.h"
#include "vm/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MONITOR_MS = 10000 };

/* Of "tap:NAME,ip=...,mac=...", but for the last. */
static char *without_mac(const char *text)
{
    char *words CLEANUP(mem_free) = str_dup(text), *rest = words;
    struct buf kept = {0};

    for (const char *word; (word = strsep(&rest, ","));)
        if (!str_starts(word, "mac="))
            buf_printf(&kept, "%s%s", kept.len ? "," : "", word);
    return buf_take(&kept);
}

/* A tap's copy keeps the address that it gets, also when it is started again: its text has it. */
static void name_mac(struct vm_net *parsed, const char *text, bool said, json_t *config)
{
    const u8 *m = parsed->mac;
    char *bare CLEANUP(mem_free) = without_mac(text);

    if (!said)
        vm_net_random_mac(parsed->mac);
    char *full CLEANUP(mem_free) = str_printf("%s,mac=%02x:%02x:%02x:%02x:%02x:%02x", bare, m[0],
                                              m[1], m[2], m[3], m[4], m[5]);
    json_object_set_new(config, "Net", json_string(full));
}

static enum vm_net_kind kind_of(const char *text)
{
    struct vm_net net = {0};
    int failed = vm_net_parse(&net, *text ? text : NULL, NULL);
    enum vm_net_kind kind = failed ? VM_NET_USER : net.kind;

    vm_net_fini(&net);
    return kind;
}

static int settle(struct copy_net *net, struct vm_net *parsed, const char *wanted,
                  const char *before, json_t *config, struct err *err)
{
    enum vm_net_kind kind = kind_of(before);
    bool had = kind != VM_NET_NONE;

    if (wanted && had != (parsed->kind != VM_NET_NONE))
        return err_set(err, EINVAL, "--net: its original has %s interface, and a copy is as it was",
                       had ? "an" : "no");
    if (wanted)
        json_object_set_new(config, "Net", json_string(wanted));
    if (parsed->kind == VM_NET_NONE)
        return 0;
    /* That network is its VMM's, and nobody else's: with the address that it had it can be reached
     * from the first moment on, and no connection is lost in a change. */
    if (parsed->kind == VM_NET_USER && kind == VM_NET_USER)
        return 0;
    net->linked = parsed->kind == VM_NET_TAP;
    if (wanted && net->linked)
        json_object_set_new(config, "Ports", json_array()); /* it has an address of its own */
    if (net->linked)
        name_mac(parsed, wanted ? wanted : before, wanted && strstr(wanted, ",mac="), config);
    const u8 *m = parsed->mac;
    snprintf(net->mac, sizeof(net->mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
             m[4], m[5]);
    char *word CLEANUP(mem_free) = wanted ? vm_net_word(parsed, NULL) : NULL;
    net->ip = word ? str_dup(word + strlen("ip=")) : NULL;
    return 0;
}

int copy_net_settle(struct copy_net *net, const char *wanted, json_t *config, struct err *err)
{
    struct vm_net parsed = {0};
    char *before CLEANUP(mem_free) = str_dup(json_str(config, "Net", ""));
    const char *text = wanted ? wanted : *before ? before : NULL;
    int failed = vm_net_parse(&parsed, text, err);

    if (!failed)
        failed = settle(net, &parsed, wanted, before, config, err);
    vm_net_fini(&parsed);
    return failed;
}

int copy_net_link(const struct instance *copy, const struct copy_net *net, struct err *err)
{
    struct qmp qmp CLEANUP(qmp_close) = {.fd = -1};

    if (!net->linked)
        return 0;
    int failed = qmp_open(&qmp, instance_connect(copy, "qmp"), MONITOR_MS, err);
    return failed ? failed
                  : qmp_call(&qmp, "set_link", json_pack("{s:s, s:b}", "name", "net", "up", 1),
                             NULL, err);
}

void copy_net_fini(struct copy_net *net)
{
    mem_free(&net->ip);
}
