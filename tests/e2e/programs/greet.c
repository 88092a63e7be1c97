/* Says what it was given; reads nothing, since a machine without ports has the serial line as
 * input. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    printf("greet: %d arguments, A=%s\n", argc - 1, getenv("A") ? getenv("A") : "unset");
    for (int i = 1; i < argc; i++)
        printf("greet: %s\n", argv[i]);
    return 0;
}
