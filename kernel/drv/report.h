/* The port on which a machine reports to its host: abi/report.h. */
#pragma once

/** Let records go to the port "ingot.report".  At start. */
void report_port_init(void);
