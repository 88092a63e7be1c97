/* Turns its input to upper case, and says on standard error how much there was. */
#include <ctype.h>
#include <stdio.h>

int main(void)
{
    int c, n = 0;

    while ((c = getchar()) != EOF) {
        putchar(toupper(c));
        n++;
    }
    fprintf(stderr, "%d characters\n", n);
    return n % 256;
}
