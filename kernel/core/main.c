/* The start-up order of the kernel.  Written by the rooms' inits one after the other; see core/init.h. */
void kernel_main(void);
void kernel_main(void)
{
    for (;;)
        ;
}
