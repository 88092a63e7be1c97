/* A folder of the host, live: docs/architecture.md, "ingot.share". */
#pragma once

struct super_block;

/** Mount what the channel @name serves. 0; -ENODEV no such channel; or what the server said. */
int p9_mount(const char *name, struct super_block **out);
