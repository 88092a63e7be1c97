#include "words.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    size_t total = 0;

    for (int i = 1; i < argc; i++)
        total += count_words(argv[i]);
    printf("%d arguments, %zu words\n", argc - 1, total);
    return 0;
}
