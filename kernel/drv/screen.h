/* Text on a linear frame buffer: the log, and what programs write to the console.  Output only. */
#pragma once

#include "lib/types.h"

/** Eight rows of eight dots a letter, the leftmost in the highest bit; drawn twice as high. */
extern const u8 screen_font[95][8];

/**
 * Show text on the frame buffer at @pa from now on: @width by @height dots of 32 bits, lines
 * @stride bytes apart.  Nothing happens where there is a screen already, ingot.screen=off, or too
 * little memory.  At start.
 */
void screen_start(u64 pa, u32 width, u32 height, u32 stride);
/** The frame buffer that the boot loader set up, if any; before PCI is looked at. */
void screen_init(void);
/** Is there a screen, or shall there be none? */
bool screen_is_done(void);
