/* Pseudo terminals: pty(7). */
#pragma once

/** Register /dev/ptmx. At start. */
void pty_init(void);
