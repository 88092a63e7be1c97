#include "vm/svg.h"

#include <stdio.h>

void svg_begin(struct buf *out, unsigned width, unsigned height)
{
    buf_printf(out,
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
               "viewBox=\"0 0 %u %u\" font-family=\"monospace\" font-size=\"12\">\n"
               "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
               width, height, width, height);
}

void svg_end(struct buf *out)
{
    buf_puts(out, "</svg>\n");
}

/* Names come from a guest: nothing in them may be markup. */
static void add_words(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ' || c > '~' || c == '<' || c == '>' || c == '&' || c == '"')
            buf_printf(out, "&#%d;", c < ' ' ? '.' : c);
        else
            buf_add(out, text, 1);
    }
}

void svg_box(struct buf *out, double x, double y, double width, double height, const char *colour,
             const char *title)
{
    buf_printf(out,
               "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"><title>", x,
               y, width, height, colour);
    add_words(out, title);
    buf_puts(out, "</title></rect>\n");
}

void svg_text(struct buf *out, double x, double y, const char *text)
{
    buf_printf(out, "<text x=\"%.2f\" y=\"%.2f\" pointer-events=\"none\">", x, y);
    add_words(out, text);
    buf_puts(out, "</text>\n");
}
