/* Devices at start: the transports look, the drivers answer. */
#include "core/init.h"
#include "drv/console.h"
#include "drv/uart.h"
#include "drv/virtio.h"

void drv_init(void)
{
    uart_init();
    virtio_mmio_probe_all();
    virtio_pci_probe_all();
    console_init();
}
