/* The operator's line: the port "ingot.guest", over which the host asks what /proc says and tells
 * that time has jumped.  docs/architecture.md, "The operator's line", has the words. */
#pragma once

/** Listen, where there is such a port. At start. */
void operator_init(void);
