/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child is made with vfork: no page table is copied, and it can leave
 * the reason of a failure in memory that both share. Until execve it does
 * system calls only.
 */
#include "spawn.h"

#include "settings.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PATH \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What was being done when it failed. */
enum step { STEP_FORK, STEP_TTY, STEP_STREAMS, STEP_USER, STEP_EXEC };

struct child_failure {
    int error; /* 0: the program runs */
    enum step step;
};

static const char *env_find(const char *const *envp, const char *name)
{
    size_t n = strlen(name);

    for (; *envp; envp++)
        if (!strncmp(*envp, name, n) && (*envp)[n] == '=')
            return *envp + n + 1;
    return NULL;
}

static int fail(struct spawn_failure *failure, enum sq_agent_reason reason,
                int error)
{
    failure->reason = reason;
    failure->error = error;
    return -1;
}

/* 0 if `path` can be executed, else an errno. */
static int try_program(const char *path)
{
    struct stat status;

    if (stat(path, &status))
        return errno;
    if (S_ISDIR(status.st_mode))
        return EISDIR;
    if (!S_ISREG(status.st_mode) || access(path, X_OK))
        return EACCES;
    return 0;
}

static int not_executable(struct spawn_failure *failure, const char *path,
                          int error)
{
    text_set(&failure->text, "'", path, "' cannot be executed", NULL);
    text_add_errno(&failure->text, error);
    return fail(failure, SQ_AGENT_NOT_EXECUTABLE, error);
}

/* Looks `name` up as execvp would and writes the result to path[PATH_MAX].
 * The working directory is the command's. */
static int find_program(const char *name, const char *search, char *path,
                        struct spawn_failure *failure)
{
    const char *at = search;
    size_t name_len = strlen(name);
    int error, denied = 0;

    if (name_len == 0 || name_len >= PATH_MAX / 2) {
        text_set(&failure->text, "the command's name is empty or too long",
                 NULL);
        return fail(failure, SQ_AGENT_NOT_FOUND, ENOENT);
    }
    if (strchr(name, '/')) {
        strcpy(path, name);
        error = try_program(path);
        if (!error)
            return 0;
        if (error == EACCES || error == EISDIR)
            return not_executable(failure, path, error);
        text_set(&failure->text, "'", path, "' is not in the root", NULL);
        text_add_errno(&failure->text, error);
        return fail(failure, SQ_AGENT_NOT_FOUND, error);
    }
    for (;;) {
        size_t n = strcspn(at, ":");

        if (n < PATH_MAX / 2 - 1) {
            memcpy(path, at, n);
            /* An empty entry is the working directory. */
            path[n] = '/';
            strcpy(path + n + (n ? 1 : 0), name);
            error = try_program(path);
            if (!error)
                return 0;
            if (error == EACCES && !denied) {
                denied = 1;
                not_executable(failure, path, error);
            }
        }
        if (!at[n])
            break;
        at += n + 1;
    }
    if (denied)
        return -1;
    text_set(&failure->text, "'", name, "' is not in the root (PATH is ",
             search, ")", NULL);
    return fail(failure, SQ_AGENT_NOT_FOUND, ENOENT);
}

/* The loader of an ELF file or the interpreter of a script, from the start
 * of the file; "" if there is none. `head` is NUL-terminated. */
static const char *interpreter(char *head, size_t len)
{
    Elf64_Ehdr file;
    Elf64_Phdr part;
    size_t i;

    if (len > 2 && head[0] == '#' && head[1] == '!') {
        head += 2 + strspn(head + 2, " \t");
        head[strcspn(head, " \t\n")] = 0;
        return head;
    }
    if (len < sizeof(file) || memcmp(head, ELFMAG, SELFMAG) ||
        head[EI_CLASS] != ELFCLASS64)
        return "";
    memcpy(&file, head, sizeof(file));
    for (i = 0; i < file.e_phnum; i++) {
        if (file.e_phoff > len - sizeof(part) ||
            file.e_phoff + i * sizeof(part) > len - sizeof(part))
            break;
        memcpy(&part, head + file.e_phoff + i * sizeof(part), sizeof(part));
        if (part.p_type == PT_INTERP && part.p_offset < len)
            return head + part.p_offset;
    }
    return "";
}

/* execve has said "no such file" about a file that is there. */
static void name_missing_loader(const char *path, struct text *text)
{
    static char head[4096];
    long len = read_small_file(path, head, sizeof(head));
    const char *loader = len > 0 ? interpreter(head, (size_t)len) : "";

    if (*loader)
        text_set(text, "'", path, "' needs '", loader,
                 "', which is not in the root", NULL);
    else
        text_set(text, "'", path, "' needs a loader that is not in the root",
                 NULL);
}

static int explain(const struct child_failure *child, const char *path,
                   struct spawn_failure *failure)
{
    static const char *const doing[] = {
        [STEP_FORK] = "cannot start a process",
        [STEP_TTY] = "cannot make the terminal the command's own",
        [STEP_STREAMS] = "cannot connect the command's streams",
        [STEP_USER] = "cannot become the user asked for",
    };

    if (child->step == STEP_EXEC) {
        if (child->error != ENOENT)
            return not_executable(failure, path, child->error);
        name_missing_loader(path, &failure->text);
        return fail(failure, SQ_AGENT_NOT_FOUND, ENOENT);
    }
    text_set(&failure->text, doing[child->step], NULL);
    text_add_errno(&failure->text, child->error);
    return fail(failure, SQ_AGENT_SETUP, child->error);
}

/* The life of the child: returns only if a step fails. The raw calls for
 * the identity leave the C library's shared state alone. */
static enum step become(const struct sq_agent_command *cmd,
                        const int stdio[3], const char *path,
                        const char *const *envp)
{
    struct sigaction normal = { .sa_handler = SIG_DFL };
    sigset_t none;
    int i;

    sigaction(SIGPIPE, &normal, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    for (i = 0; i < 3; i++)
        if (dup2(stdio[i], i) < 0)
            return STEP_STREAMS;
    if ((cmd->flags & SQ_AGENT_RUN_TTY) && ioctl(0, TIOCSCTTY, 0))
        return STEP_TTY;
    if (cmd->uid || cmd->gid) {
        if (syscall(SYS_setgroups, 0, NULL) ||
            syscall(SYS_setgid, cmd->gid) || syscall(SYS_setuid, cmd->uid))
            return STEP_USER;
    }
    execve(path, (char *const *)(uintptr_t)cmd->argv,
           (char *const *)(uintptr_t)envp);
    return STEP_EXEC;
}

static __attribute__((noinline)) pid_t
make_child(const struct sq_agent_command *cmd, const int stdio[3],
           const char *path, const char *const *envp,
           volatile struct child_failure *failure)
{
    pid_t pid = vfork();

    if (pid == 0) {
        failure->step = become(cmd, stdio, path, envp);
        failure->error = errno;
        _exit(127);
    }
    return pid;
}

int spawn_command(const struct sq_agent_command *cmd, const int stdio[3],
                  pid_t *pid, struct spawn_failure *failure)
{
    static const char *envp[SQ_AGENT_STRINGS_MAX + 4];
    static char path[PATH_MAX];
    volatile struct child_failure child = { 0, STEP_FORK };
    struct child_failure seen;
    const char *search;
    int result, error;
    size_t n;

    for (n = 0; cmd->envp[n] && n < SQ_AGENT_STRINGS_MAX; n++)
        envp[n] = cmd->envp[n];
    envp[n] = NULL;
    if (!env_find(cmd->envp, "PATH"))
        envp[n++] = DEFAULT_PATH;
    if (!env_find(cmd->envp, "HOME"))
        envp[n++] = cmd->uid == 0 ? "HOME=/root" : "HOME=/";
    if ((cmd->flags & SQ_AGENT_RUN_TTY) && !env_find(cmd->envp, "TERM"))
        envp[n++] = "TERM=xterm";
    envp[n] = NULL;

    /* The child inherits it, and a relative name is looked up there. */
    if (cmd->cwd[0] && chdir(cmd->cwd)) {
        error = errno;
        text_set(&failure->text, "cannot enter the working directory '",
                 cmd->cwd, "'", NULL);
        text_add_errno(&failure->text, error);
        return fail(failure, SQ_AGENT_SETUP, error);
    }
    search = env_find(envp, "PATH");
    result = find_program(cmd->argv[0], search, path, failure);
    if (result == 0) {
        *pid = make_child(cmd, stdio, path, envp, &child);
        seen.error = *pid < 0 ? errno : child.error;
        seen.step = child.step;
        if (seen.error) {
            result = explain(&seen, path, failure);
            if (*pid > 0)
                waitpid(*pid, NULL, 0);
        }
    }
    /* Keep no directory of the command busy; "/" cannot fail. */
    (void)!chdir("/");
    return result;
}
