#include <stdbool.h>
#include <stdio.h>

enum { LIMIT = 100 };

int main(void)
{
    bool composite[LIMIT + 1] = {false};

    for (int n = 2; n <= LIMIT; n++) {
        if (composite[n])
            continue;
        printf("%d ", n);
        for (int multiple = n * n; multiple <= LIMIT; multiple += n)
            composite[multiple] = true;
    }
    putchar('\n');
    return 0;
}
