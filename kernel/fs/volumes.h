/* Volumes of the command line: docs/architecture.md, "ingot.mount". */
#pragma once

/** Mount them all; ends in fatal_error where one cannot be. They are unmounted at the VM's end. */
void volumes_mount(void);
