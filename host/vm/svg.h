/* The little of SVG that our drawings are made of. Lengths are in pixels. */
#pragma once

#include "lib/buf.h"

/** The head of a drawing of @width by @height pixels; and its end. */
void svg_begin(struct buf *out, unsigned width, unsigned height);
void svg_end(struct buf *out);

/** A filled box; @title is shown by whoever points at it. */
void svg_box(struct buf *out, double x, double y, double width, double height, const char *colour,
             const char *title);
void svg_text(struct buf *out, double x, double y, const char *text);
