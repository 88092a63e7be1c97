/* Console ports on the streams that the ground has ready (struct plat_streams): "ingot.stdin" and
 * its like, or "ingot.tty". */
#pragma once

/** Add the ports.  Only where plat.streams is not NULL. */
void host_stream_init(void);
