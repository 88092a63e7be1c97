#include "words.h"

#include <string.h>

size_t count_words(const char *text)
{
    size_t count = 0;

    while (*(text += strspn(text, " \t\n"))) {
        count++;
        text += strcspn(text, " \t\n");
    }
    return count;
}
