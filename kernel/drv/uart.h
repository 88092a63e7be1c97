/* The serial line. */
#pragma once

/** Find the UART at 0x3f8 and make it the console port "ttyS0".  At start. */
void uart_init(void);
