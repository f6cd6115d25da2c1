/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_UNISTD_H
#define SQ_MACOS_UNISTD_H

#include <sq_macos.h>

#define STDIN_FILENO 0
#define STDOUT_FILENO 1
#define STDERR_FILENO 2
#define R_OK 4
#define W_OK 2
#define X_OK 1
#define F_OK 0
#define _SC_PAGESIZE 29
#define _SC_NPROCESSORS_ONLN 58
#define _SC_ARG_MAX 1
ssize_t read(int fd, void *buf, size_t len);
ssize_t write(int fd, const void *buf, size_t len);
ssize_t pread(int fd, void *buf, size_t len, off_t off);
ssize_t pwrite(int fd, const void *buf, size_t len, off_t off);
off_t lseek(int fd, off_t off, int whence);
int close(int fd);
int dup(int fd);
int dup2(int fd, int to);
int pipe(int fd[2]);
int unlink(const char *path);
int rmdir(const char *path);
int link(const char *from, const char *to);
int symlink(const char *to, const char *path);
ssize_t readlink(const char *path, char *buf, size_t len);
int access(const char *path, int mode);
int chdir(const char *path);
char *getcwd(char *buf, size_t len);
int ftruncate(int fd, off_t len);
int truncate(const char *path, off_t len);
int fsync(int fd);
int isatty(int fd);
pid_t getpid(void);
pid_t getppid(void);
pid_t fork(void);
pid_t setsid(void);
pid_t tcgetpgrp(int fd);
pid_t getpgrp(void);
uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
int getpagesize(void);
long sysconf(int name);
unsigned sleep(unsigned s);
int usleep(unsigned us);
void _exit(int status) __attribute__((noreturn));
int execv(const char *path, char *const argv[]);
int execvp(const char *file, char *const argv[]);
int execve(const char *path, char *const argv[], char *const env[]);
int gethostname(char *name, size_t len);
int getentropy(void *buf, size_t len);
extern char *optarg;
extern int optind, opterr, optopt;
int getopt(int argc, char *const argv[], const char *options);

int unlinkat(int dir, const char *path, int flags);

#endif
