/* Devices at start: the transports look, the drivers answer. */
#include "core/init.h"
#include "drv/console.h"
#include "drv/host_stream.h"
#include "drv/operator.h"
#include "drv/pci.h"
#include "drv/report.h"
#include "drv/screen.h"
#include "drv/uart.h"
#include "drv/virtio.h"
#include "plat/plat.h"

void drv_init(void)
{
    if (plat.ports)
        uart_init();
    if (plat.streams)
        host_stream_init();
    screen_init();
    virtio_mmio_probe_all();
    if (boot_info.has_pci)
        pci_probe_all();
    if (plat.window)
        virtio_window_probe_all();
    console_init();
    operator_init();
    report_port_init();
}
