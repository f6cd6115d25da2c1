/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of macOS's public C interface that squib uses, as declarations of
 * the project's own: names, types and numbers (macOS manual, sections 2 and
 * 3), for arm64. It lets the whole program be compiled and linked for macOS
 * where there is no SDK of Apple's; a Mac builds with Apple's headers. Here
 * is what nearly all files use; the other headers of this folder have the
 * rest.
 */
#ifndef SQ_MACOS_H
#define SQ_MACOS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef long ssize_t;
typedef int64_t off_t;
typedef int32_t pid_t, dev_t;
typedef uint32_t uid_t, gid_t;
typedef uint16_t mode_t, nlink_t;
typedef uint64_t ino_t;
typedef int64_t blkcnt_t;
typedef int32_t blksize_t;
typedef long time_t, suseconds_t_wide;
typedef int32_t suseconds_t;
typedef unsigned long clock_t;
typedef unsigned int u_int;
typedef unsigned char u_char;
typedef unsigned short u_short;

/* --- errno.h ----------------------------------------------------------- */

int *__error(void);
#define errno (*__error())
#define EPERM 1
#define ENOENT 2
#define ESRCH 3
#define EINTR 4
#define EIO 5
#define ENXIO 6
#define E2BIG 7
#define ENOEXEC 8
#define EBADF 9
#define ECHILD 10
#define EDEADLK 11
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define EXDEV 18
#define ENODEV 19
#define ENOTDIR 20
#define EISDIR 21
#define EINVAL 22
#define ENFILE 23
#define EMFILE 24
#define ENOTTY 25
#define EFBIG 27
#define ENOSPC 28
#define ESPIPE 29
#define EROFS 30
#define EPIPE 32
#define ERANGE 34
#define EAGAIN 35
#define EWOULDBLOCK EAGAIN
#define EINPROGRESS 36
#define EMSGSIZE 40
#define EPROTO 100
#define ENOTSUP 45
#define EADDRINUSE 48
#define ENETDOWN 50
#define ECONNABORTED 53
#define ECONNRESET 54
#define ENOBUFS 55
#define ENOTCONN 57
#define ETIMEDOUT 60
#define ECONNREFUSED 61
#define ELOOP 62
#define ENAMETOOLONG 63
#define ENOTEMPTY 66
#define EDQUOT 69
#define ENOSYS 78
#define EOVERFLOW 84
#define ECANCELED 89
#define EOPNOTSUPP 102
#define ENODATA 96

/* --- string.h, strings.h, ctype.h -------------------------------------- */

void *memcpy(void *dst, const void *src, size_t len);
void *memmove(void *dst, const void *src, size_t len);
void *memset(void *dst, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
void *memchr(const void *s, int byte, size_t len);
void *memmem(const void *s, size_t s_len, const void *part, size_t part_len);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
int strcasecmp(const char *a, const char *b);
int strncasecmp(const char *a, const char *b, size_t n);
char *strcpy(char *dst, const char *src);
char *strcat(char *dst, const char *src);
char *strncat(char *dst, const char *src, size_t n);
char *strncpy(char *dst, const char *src, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *s, const char *part);
char *strpbrk(const char *s, const char *set);
size_t strspn(const char *s, const char *set);
size_t strcspn(const char *s, const char *set);
char *strtok_r(char *s, const char *sep, char **state);
char *strsep(char **s, const char *sep);
char *strdup(const char *s);
char *strndup(const char *s, size_t n);
char *strerror(int e);
int strerror_r(int e, char *buf, size_t len);
char *strsignal(int signo);
int isdigit(int c);
int isalpha(int c);
int isalnum(int c);
int isspace(int c);
int isprint(int c);
int isxdigit(int c);
int isupper(int c);
int islower(int c);
int ispunct(int c);
int iscntrl(int c);
int tolower(int c);
int toupper(int c);

/* --- stdlib.h, limits.h, math.h ---------------------------------------- */

#define PATH_MAX 1024
#define NAME_MAX 255
#define IOV_MAX 1024
#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1
void *malloc(size_t len);
void *calloc(size_t n, size_t len);
void *realloc(void *p, size_t len);
int posix_memalign(void **p, size_t alignment, size_t len);
void *aligned_alloc(size_t alignment, size_t len);
void free(void *p);
void abort(void) __attribute__((noreturn));
void exit(int status) __attribute__((noreturn));
int atexit(void (*fn)(void));
char *getenv(const char *name);
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
int atoi(const char *s);
long strtol(const char *s, char **end, int base);
unsigned long strtoul(const char *s, char **end, int base);
long long strtoll(const char *s, char **end, int base);
unsigned long long strtoull(const char *s, char **end, int base);
double strtod(const char *s, char **end);
void qsort(void *base, size_t n, size_t len,
           int (*cmp)(const void *, const void *));
void *bsearch(const void *key, const void *base, size_t n, size_t len,
              int (*cmp)(const void *, const void *));
char *realpath(const char *path, char *out);
int mkstemp(char *path);
int mkostemp(char *path, int flags);
char *mkdtemp(char *path);
uint32_t arc4random(void);
int abs(int v);
long labs(long v);
int system(const char *command);
double sqrt(double v);
float sqrtf(float v);
double fabs(double v);
float fabsf(float v);
double floor(double v);
double ceil(double v);
double fma(double a, double b, double c);
float fmaf(float a, float b, float c);
double ldexp(double v, int e);
double log2(double v);
#define isfinite(v) __builtin_isfinite(v)
#define isnan(v) __builtin_isnan(v)
#define isinf(v) __builtin_isinf(v)
double pow(double a, double b);
long lround(double v);

/* --- stdio.h ----------------------------------------------------------- */

typedef struct __sFILE FILE;
extern FILE *__stdinp, *__stdoutp, *__stderrp;
#define stdin __stdinp
#define stdout __stdoutp
#define stderr __stderrp
#define EOF (-1)
#define BUFSIZ 1024
#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
#define _IOFBF 0
#define _IOLBF 1
#define _IONBF 2
int printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int fprintf(FILE *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int dprintf(int fd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int snprintf(char *s, size_t len, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int sprintf(char *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int asprintf(char **s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int vprintf(const char *fmt, va_list ap);
int vfprintf(FILE *f, const char *fmt, va_list ap);
int vsnprintf(char *s, size_t len, const char *fmt, va_list ap);
int vasprintf(char **s, const char *fmt, va_list ap);
int vdprintf(int fd, const char *fmt, va_list ap);
int sscanf(const char *s, const char *fmt, ...)
    __attribute__((format(scanf, 2, 3)));
int fscanf(FILE *f, const char *fmt, ...)
    __attribute__((format(scanf, 2, 3)));
FILE *fopen(const char *path, const char *mode);
FILE *fdopen(int fd, const char *mode);
FILE *fmemopen(void *buf, size_t len, const char *mode);
FILE *open_memstream(char **buf, size_t *len);
FILE *tmpfile(void);
FILE *popen(const char *command, const char *mode);
int pclose(FILE *f);
int fclose(FILE *f);
int fflush(FILE *f);
int fileno(FILE *f);
int feof(FILE *f);
int ferror(FILE *f);
int fgetc(FILE *f);
int getc(FILE *f);
int getchar(void);
int fputc(int c, FILE *f);
int putc(int c, FILE *f);
int putchar(int c);
int puts(const char *s);
int fputs(const char *s, FILE *f);
char *fgets(char *s, int len, FILE *f);
ssize_t getline(char **line, size_t *room, FILE *f);
ssize_t getdelim(char **line, size_t *room, int end, FILE *f);
size_t fread(void *p, size_t len, size_t n, FILE *f);
size_t fwrite(const void *p, size_t len, size_t n, FILE *f);
int fseek(FILE *f, long off, int whence);
int fseeko(FILE *f, off_t off, int whence);
long ftell(FILE *f);
off_t ftello(FILE *f);
void rewind(FILE *f);
int setvbuf(FILE *f, char *buf, int mode, size_t len);
void perror(const char *s);
int rename(const char *from, const char *to);
int remove(const char *path);

/* --- time.h ------------------------------------------------------------ */

struct timespec {
    time_t tv_sec;
    long tv_nsec;
};
struct timeval {
    time_t tv_sec;
    suseconds_t tv_usec;
};
struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday;
    int tm_isdst;
    long tm_gmtoff;
    char *tm_zone;
};
typedef int clockid_t;
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 6
#define CLOCK_PROCESS_CPUTIME_ID 12
#define CLOCK_THREAD_CPUTIME_ID 16
int clock_gettime(clockid_t id, struct timespec *ts);
int nanosleep(const struct timespec *ts, struct timespec *left);
time_t time(time_t *t);
struct tm *gmtime_r(const time_t *t, struct tm *tm);
struct tm *localtime_r(const time_t *t, struct tm *tm);
time_t mktime(struct tm *tm);
time_t timegm(struct tm *tm);
size_t strftime(char *s, size_t len, const char *fmt, const struct tm *tm);
int gettimeofday(struct timeval *tv, void *zone);

/* --- signal.h ---------------------------------------------------------- */

typedef uint32_t sigset_t;
typedef void (*sig_t)(int);
union sigval {
    int sival_int;
    void *sival_ptr;
};
typedef struct {
    int si_signo, si_errno, si_code;
    pid_t si_pid;
    uid_t si_uid;
    int si_status;
    void *si_addr;
    union sigval si_value;
    long si_band;
    unsigned long pad[7];
} siginfo_t;
struct sigaction {
    union {
        void (*sq_handler)(int);
        void (*sq_action)(int, siginfo_t *, void *);
    } sq_u;
    sigset_t sa_mask;
    int sa_flags;
};
#define sa_handler sq_u.sq_handler
#define sa_sigaction sq_u.sq_action
typedef int sig_atomic_t;
#define SA_RESETHAND 0x0004
#define SA_NODEFER 0x0010
#define SA_RESTART 0x0002
#define SA_SIGINFO 0x0040
#define SIG_DFL ((void (*)(int))0)
#define SIG_IGN ((void (*)(int))1)
#define SIG_ERR ((void (*)(int))-1)
#define SIGHUP 1
#define SIGINT 2
#define SIGQUIT 3
#define SIGILL 4
#define SIGTRAP 5
#define SIGABRT 6
#define SIGFPE 8
#define SIGKILL 9
#define SIGBUS 10
#define SIGSEGV 11
#define SIGPIPE 13
#define SIGALRM 14
#define SIGTERM 15
#define SIGSTOP 17
#define SIGTSTP 18
#define SIGCONT 19
#define SIGCHLD 20
#define SIGTTIN 21
#define SIGTTOU 22
#define SIGSYS 12
#define SIGXCPU 24
#define SIGXFSZ 25
#define SIGWINCH 28
#define SIGUSR1 30
#define SIGUSR2 31
#define NSIG 32
#define SIG_BLOCK 1
#define SIG_UNBLOCK 2
#define SIG_SETMASK 3
int sigemptyset(sigset_t *set);
int sigfillset(sigset_t *set);
int sigaddset(sigset_t *set, int signo);
int sigdelset(sigset_t *set, int signo);
int sigismember(const sigset_t *set, int signo);
int sigpending(sigset_t *set);
int sigwait(const sigset_t *set, int *signo);
int sigprocmask(int how, const sigset_t *set, sigset_t *old);
int sigaction(int signo, const struct sigaction *act, struct sigaction *old);
void (*signal(int signo, void (*handler)(int)))(int);
int kill(pid_t pid, int signo);
int raise(int signo);
unsigned alarm(unsigned s);

/* --- pthread.h --------------------------------------------------------- */

typedef struct sq_pthread *pthread_t;
typedef struct { long sig; char opaque[56]; } pthread_mutex_t;
typedef struct { long sig; char opaque[40]; } pthread_cond_t;
typedef struct { long sig; char opaque[192]; } pthread_rwlock_t;
typedef struct { long sig; char opaque[8]; } pthread_once_t;
typedef struct { long sig; char opaque[56]; } pthread_attr_t;
typedef struct { long sig; char opaque[8]; } pthread_mutexattr_t;
typedef struct { long sig; char opaque[8]; } pthread_condattr_t;
typedef struct { long sig; char opaque[16]; } pthread_rwlockattr_t;
typedef unsigned long pthread_key_t;
#define PTHREAD_MUTEX_INITIALIZER {0x32aaaba7, {0}}
#define PTHREAD_COND_INITIALIZER {0x3cb0b1bb, {0}}
#define PTHREAD_RWLOCK_INITIALIZER {0x2da8b3b4, {0}}
int pthread_create(pthread_t *t, const pthread_attr_t *attr,
                   void *(*fn)(void *), void *arg);
int pthread_join(pthread_t t, void **out);
int pthread_detach(pthread_t t);
pthread_t pthread_self(void);
int pthread_equal(pthread_t a, pthread_t b);
int pthread_kill(pthread_t t, int signo);
int pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int pthread_setname_np(const char *name);
int pthread_getname_np(pthread_t t, char *name, size_t len);
void pthread_jit_write_protect_np(int enabled);
int pthread_attr_init(pthread_attr_t *attr);
int pthread_attr_destroy(pthread_attr_t *attr);
int pthread_attr_setstacksize(pthread_attr_t *attr, size_t len);
int pthread_attr_setdetachstate(pthread_attr_t *attr, int state);
int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int pthread_mutex_destroy(pthread_mutex_t *m);
int pthread_mutex_lock(pthread_mutex_t *m);
int pthread_mutex_trylock(pthread_mutex_t *m);
int pthread_mutex_unlock(pthread_mutex_t *m);
int pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int pthread_cond_destroy(pthread_cond_t *c);
int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
                           const struct timespec *ts);
int pthread_cond_timedwait_relative_np(pthread_cond_t *c, pthread_mutex_t *m,
                                       const struct timespec *ts);
int pthread_cond_signal(pthread_cond_t *c);
int pthread_cond_broadcast(pthread_cond_t *c);
int pthread_rwlock_init(pthread_rwlock_t *l,
                        const pthread_rwlockattr_t *attr);
int pthread_rwlock_destroy(pthread_rwlock_t *l);
int pthread_rwlockattr_init(pthread_rwlockattr_t *attr);
int pthread_rwlockattr_destroy(pthread_rwlockattr_t *attr);
int pthread_mutexattr_init(pthread_mutexattr_t *attr);
int pthread_mutexattr_settype(pthread_mutexattr_t *attr, int type);
int pthread_mutexattr_destroy(pthread_mutexattr_t *attr);
int pthread_condattr_init(pthread_condattr_t *attr);
int pthread_condattr_destroy(pthread_condattr_t *attr);
int pthread_rwlock_rdlock(pthread_rwlock_t *l);
int pthread_rwlock_tryrdlock(pthread_rwlock_t *l);
int pthread_rwlock_trywrlock(pthread_rwlock_t *l);
int pthread_rwlock_wrlock(pthread_rwlock_t *l);
int pthread_rwlock_unlock(pthread_rwlock_t *l);

#endif
