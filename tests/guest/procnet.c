/* /proc/net before the program has used any socket: everything there can be read. */
#define _GNU_SOURCE
#include "t.h"

CASE(all_of_proc_net_can_be_read_at_once)
{
    static const char *const names[] = {
        "dev",     "route",    "tcp",       "tcp6",   "udp",      "udp6",       "raw",
        "raw6",    "icmp",     "icmp6",     "packet", "unix",     "snmp",       "snmp6",
        "netstat", "sockstat", "sockstat6", "arp",    "if_inet6", "ipv6_route", "protocols"};
    char path[64];

    for (size_t i = COUNT(names); i-- > 0;) {
        snprintf(path, sizeof(path), "/proc/net/%s", names[i]);
        int fd = open(path, O_RDONLY);
        char byte;
        CHECK(fd >= 0);
        CHECK(read(fd, &byte, 1) >= 0);
        close(fd);
    }
    CHECK(strstr(get_file("/proc/net/snmp6"), "Ip6InReceives"));
    CHECK(strstr(get_file("/proc/net/sockstat"), "TCP: inuse"));
}

CASE(softnet_stat_has_a_line_a_cpu)
{
    unsigned first, last[2];
    int columns = 0, lines = 0;
    const char *text = get_file("/proc/net/softnet_stat");

    for (const char *at = text; *at; at++) {
        columns += lines == 0 && (*at == ' ' || *at == '\n');
        lines += *at == '\n';
    }
    CHECK_EQ(lines, sysconf(_SC_NPROCESSORS_ONLN));
    CHECK_EQ(columns, 15);
    CHECK_EQ(sscanf(text, "%8x %8x %8x", &first, &last[0], &last[1]), 3);
}
