/* Prints the time every second until it is told to stop, then says goodbye. */
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_stop(int signal_number)
{
    stop = signal_number;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_stop};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    while (!stop) {
        char text[32];
        time_t now = time(NULL);
        strftime(text, sizeof(text), "%T", gmtime(&now));
        puts(text);
        fflush(stdout);
        sleep(1);
    }
    printf("goodbye (signal %d)\n", (int)stop);
    return 0;
}
