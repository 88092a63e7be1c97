/* The command `ingot`. */
int main(void)
{
    return 2;
}
