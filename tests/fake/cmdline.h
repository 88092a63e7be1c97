/* A boot command line for kernel code under test. */
#pragma once

/** Parse @text (kept until the next call) as the boot line. */
void fake_cmdline(const char *text);
