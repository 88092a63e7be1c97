/* /proc/net and /sys/class/net. */
#pragma once

#include "fs/pseudo.h"

/** What is in /proc/PID/net. */
enum { PROC_NET_NODES = 22 };
extern const struct pseudo_node proc_net_nodes[PROC_NET_NODES];

/** The file of /proc/net that the name ends in, as proc(5) lays it out. 0, or -ENOMEM. */
int proc_net_show_tcp(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_tcp6(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_udp(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_udp6(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_unix(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_snmp(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_softnet(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_netstat(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_raw(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_raw6(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_icmp(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_icmp6(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_packet(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_snmp6(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_sockstat(struct text *out, const struct pseudo_ref *ref);
int proc_net_show_sockstat6(struct text *out, const struct pseudo_ref *ref);

/** /sys/class/net: the directories of the interfaces. */
int sys_find_netif(const struct pseudo_ref *dir, const char *name, size_t len,
                   struct pseudo_ref *child);
bool sys_next_netif(const struct pseudo_ref *dir, int after, struct pseudo_ref *child,
                    char name[32]);
