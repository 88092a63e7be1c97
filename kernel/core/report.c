#include "core/report.h"

#include "arch/features.h"
#include "core/cmdline.h"
#include "core/log.h"
#include "plat/plat.h"

const struct report_port *report_port;

/* Without a port the log must be one that takes any byte: a serial line is too slow for it. */
static bool log_takes_bytes(void)
{
    return arch_in_process;
}

bool report_wanted(void)
{
    return cmdline_get_u64("ingot.report", 0) &&
           (log_takes_bytes() || (report_port && report_port->exists()));
}

int report_send(u32 kind, u32 pid, u64 offset, const void *data, size_t len)
{
    struct report_head head = {
        .magic = REPORT_MAGIC, .kind = kind, .offset = offset, .len = (u32)len, .pid = pid};

    if (log_takes_bytes()) {
        log_bytes(&head, sizeof(head), data, len);
        return 0;
    }
    return report_port->send(&head, data);
}
