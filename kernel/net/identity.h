/* Another machine's identity on the network: what a copy of a machine takes up. */
#pragma once

#include "lib/types.h"

/** "52:54:00:12:34:56" of one host. */
bool net_parse_mac(const char *text, u8 mac[6]);

/**
 * Give the first interface another MAC address. Leases and what routers told is asked for anew;
 * fixed addresses stay, unless there is a word for others.
 * @word: as that of ip=, or NULL
 * Returns 0 or -ENODEV. Thread context, may sleep.
 */
int net_change_identity(const u8 mac[6], const char *word);
