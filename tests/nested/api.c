/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api SOCKET METHOD PATH [BODY]: one request to squib's API. Prints the
 * answer's status and body; exits with 0 when the status is below 300. For
 * machines that have nothing but busybox.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Sends all and reads until the other side has nothing more to say. */
static size_t talk(const char *path, const char *request, char *out,
                   size_t room)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    size_t len = 0;
    ssize_t n;

    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        perror(path);
        exit(1);
    }
    if (write(fd, request, strlen(request)) != (ssize_t)strlen(request)) {
        perror("write");
        exit(1);
    }
    shutdown(fd, SHUT_WR); /* answers come all the same */
    while (len + 1 < room && (n = read(fd, out + len, room - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    out[len] = '\0';
    return len;
}

int main(int argc, char **argv)
{
    static char request[8192], answer[65536];
    const char *body, *end;
    int status;

    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: api SOCKET METHOD PATH [BODY]\n");
        return 2;
    }
    body = argc == 5 ? argv[4] : "";
    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\n"
             "Content-Length: %zu\r\n\r\n%s", argv[2], argv[3], strlen(body),
             body);
    if (!body[0])
        snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\n\r\n", argv[2],
                 argv[3]);
    if (!talk(argv[1], request, answer, sizeof(answer)) ||
        sscanf(answer, "HTTP/1.1 %d", &status) != 1) {
        fprintf(stderr, "no answer to %s %s\n", argv[2], argv[3]);
        return 1;
    }
    end = strstr(answer, "\r\n\r\n");
    printf("%d %s\n", status, end ? end + 4 : "");
    return status < 300 ? 0 : 1;
}
