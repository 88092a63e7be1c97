/* The network of a copy of a guest: a MAC address of its own where others share it, and perhaps
 * another place. */
#pragma once

#include "instance/instance.h"
#include "lib/json.h"

/** Zero is none; free with copy_net_fini(). */
struct copy_net {
    char mac[18]; /* "": it keeps the one that it has, or has no interface */
    char *ip;     /* owned: the kernel's ip= for it; NULL: as it was */
    bool linked;  /* somebody must give it its link */
};

/**
 * Decide, and write it into @config, the copy's own.
 * @wanted: --net, or NULL: as its original
 * Errors: ERR_USAGE as of vm_net_parse(), EINVAL one has an interface and the other has not.
 */
int copy_net_settle(struct copy_net *net, const char *wanted, json_t *config, struct err *err);

/** The copy knows who it is: let it onto its network. */
int copy_net_link(const struct instance *copy, const struct copy_net *net, struct err *err);

/** Free it. */
void copy_net_fini(struct copy_net *net);
