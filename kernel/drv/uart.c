/* The first serial line, an NS16550A: console port "ttyS0" (National Semiconductor PC16550D).
 * Output is polled: it is a log and the poor man's console.  Input comes by interrupt into a ring,
 * always, because a break condition, which asks the program to stop, queues up behind it.  The FIFO
 * stays off: to turn it on empties it, and with it a break that comes in that moment. */
#include "drv/uart.h"

#include "arch/cpu.h"
#include "arch/hooks.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "drv/console_port.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "vfs/file.h"

enum {
    UART_BASE = 0x3f8,
    UART_GSI = 4,
    RING_SIZE = 512, /* a power of two */
    CHUNK = 64,
};

/* Register offsets. */
enum {
    RBR = 0,
    IER = 1,
    IIR = 2,
    LCR = 3,
    MCR = 4,
    LSR = 5,
    MSR = 6,
    SCR = 7,
};

enum {
    IER_DATA = 1 << 0,
    IER_LINE_STATUS = 1 << 2,
    LCR_8N1 = 0x03,
    MCR_DTR_RTS_OUT2 = 0x0b,
    LSR_DATA = 1 << 0,
    LSR_BREAK = 1 << 4,
};

/* Fields: [I], [L] under .lock. */
static struct uart {
    struct console_port port;
    struct spinlock lock; /* a leaf */
    u8 ring[RING_SIZE];   /* [L] */
    u32 head, tail;       /* [L] ever put in, ever taken out */
    bool drop_zero;       /* [C] boot CPU's safe points: the zero of a break is still to come */
    bool break_seen;      /* [A] by console_write(), which reads the line's status */
    struct cpu *cpu;      /* [I] that its interrupts go to */
    u32 line;             /* [I] of .cpu's pending word */
} uart;

static void keep_byte(u8 byte)
{
    spin_lock(&uart.lock);
    if (uart.head - uart.tail < RING_SIZE)
        uart.ring[uart.head++ % RING_SIZE] = byte;
    spin_unlock(&uart.lock);
}

/* A break comes with a zero byte.  Some models show the break as soon as it arrives and leave the
 * zero behind what came before. */
static void take_break(void)
{
    log_info("ttyS0: break");
    uart.drop_zero = true;
    stop_requested();
}

static void take_byte(void)
{
    u8 byte = inb(UART_BASE + RBR);

    if (!byte && uart.drop_zero)
        uart.drop_zero = false;
    else
        keep_byte(byte);
}

/* The line is edge-triggered: only when nothing is left does it fall and may rise again. */
static void uart_interrupt(void *arg)
{
    u8 status;
    bool any = false;

    (void)arg;
    if (__atomic_exchange_n(&uart.break_seen, false, __ATOMIC_ACQ_REL))
        take_break();
    while ((status = inb(UART_BASE + LSR)) != 0xff && (status & (LSR_DATA | LSR_BREAK))) {
        if (status & LSR_BREAK)
            take_break();
        if (status & LSR_DATA)
            take_byte();
        any = true;
    }
    inb(UART_BASE + IIR);
    if (any)
        waitq_wake_all(&uart.port.waitq, POLLIN);
}

/* Any context: a break that is read is not shown again. */
static void note_break(void)
{
    __atomic_store_n(&uart.break_seen, true, __ATOMIC_RELEASE);
    irq_pend_on(uart.cpu, uart.line);
}

static ssize_t uart_write(struct console_port *port, struct iov_iter *from)
{
    char chunk[CHUNK];
    ssize_t total = 0;
    size_t n;

    (void)port;
    while ((n = iter_read(from, chunk, min(from->left, sizeof(chunk)))) > 0) {
        plat.console_write(chunk, n);
        total += (ssize_t)n;
    }
    return total;
}

static ssize_t uart_read(struct console_port *port, struct iov_iter *to)
{
    u8 chunk[CHUNK];
    size_t n = 0, limit = min(to->left, sizeof(chunk));

    (void)port;
    spin_lock(&uart.lock);
    while (n < limit && uart.tail != uart.head)
        chunk[n++] = uart.ring[uart.tail++ % RING_SIZE];
    spin_unlock(&uart.lock);
    return (ssize_t)iter_write(to, chunk, n);
}

static u32 uart_ready(struct console_port *port)
{
    (void)port;
    spin_lock(&uart.lock);
    u32 ready = POLLOUT | (uart.head != uart.tail ? POLLIN : 0);
    spin_unlock(&uart.lock);
    return ready;
}

static void uart_nothing(struct console_port *port)
{
    (void)port; /* input is always taken, and output is out when write returns */
}

static const struct console_port_ops uart_ops = {
    .write = uart_write,
    .read = uart_read,
    .ready = uart_ready,
    .start_input = uart_nothing,
    .drain = uart_nothing,
};

static bool uart_present(void)
{
    outb(UART_BASE + SCR, 0x5a);
    return inb(UART_BASE + SCR) == 0x5a;
}

/* What came before the start.  An early message may have read a break away; its zero byte is still
 * there. */
static void take_early(void)
{
    u8 status = inb(UART_BASE + LSR);
    u8 byte = status & LSR_DATA ? inb(UART_BASE + RBR) : 0;

    if (byte)
        keep_byte(byte);
    if (status & LSR_BREAK || (status & LSR_DATA && !byte))
        take_break();
    uart.drop_zero = status & LSR_BREAK && byte;
}

void uart_init(void)
{
    if (!uart_present())
        return;
    outb(UART_BASE + LCR, LCR_8N1);
    outb(UART_BASE + MCR, MCR_DTR_RTS_OUT2);
    str_copy(uart.port.name, "ttyS0", sizeof(uart.port.name));
    uart.port.ops = &uart_ops;
    waitq_init(&uart.port.waitq);
    console_port_add(&uart.port);

    int line = irq_register(uart_interrupt, NULL);
    if (line < 0 || plat.irq_route_gsi(UART_GSI, (u32)line)) {
        log_warn("ttyS0: no interrupt, so no input and no stop by break");
        return;
    }
    uart.cpu = this_cpu();
    uart.line = (u32)line;
    plat_uart_break = note_break;
    take_early();
    outb(UART_BASE + IER, IER_DATA | IER_LINE_STATUS);
}
