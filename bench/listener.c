/* Listens on $HOST:$PORT after DELAY_US; writes its pid to FILE, and when it
   began and listened (ns). */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    long long began = now();
    struct sockaddr_in address = {.sin_family = AF_INET};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 3 || !getenv("HOST") || !getenv("PORT")) return 2;
    usleep(atoi(argv[1]));
    address.sin_port = htons(atoi(getenv("PORT")));
    inet_pton(AF_INET, getenv("HOST"), &address.sin_addr);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) return 3;
    long long listened = now();
    FILE *file = fopen(argv[2], "w");
    if (!file) return 4;
    fprintf(file, "%d %lld %lld\n", getpid(), began, listened);
    fclose(file);
    for (;;) {
        int caller = accept(listener, NULL, NULL);
        if (caller >= 0) close(caller);
    }
}
