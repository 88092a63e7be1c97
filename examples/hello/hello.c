#include <stdio.h>

int main(void)
{
    puts("Hello from Ingot");
    return 0;
}
