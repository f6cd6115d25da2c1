/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every instruction here is paid at each start, often on an interpreter, so
 * nothing is looked for that can simply be tried: a failed mount costs less
 * than asking whether it would work.
 */
#include "setup.h"

#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROOT_DIR "/squib/root"
#define LOWER_DIR "/squib/lower"
#define UPPER_DIR "/squib/upper"

/* Far above what the host writes; more lines are not read. */
static char file_text[32768];

void setup_console(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);

    /* The kernel has opened 0..2 when the initramfs holds the node. */
    if (fd < 0)
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2)
        fd = dup(fd);
    if (fd > 2)
        close(fd);
}

void setup_first_mounts(void)
{
    mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

void setup_read_settings(struct settings *settings)
{
    settings_init(settings);
    if (read_small_file("/squib/config", file_text, sizeof(file_text)) > 0)
        settings_parse(settings, file_text, false);
    if (read_small_file("/proc/cmdline", file_text, sizeof(file_text)) > 0)
        settings_parse(settings, file_text, true);
}

static void load_module(char *line)
{
    char *parameters = strchr(line, ' ');
    int fd, error;

    if (parameters)
        *parameters++ = 0;
    fd = open(line, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 &&
        (!syscall(SYS_finit_module, fd, parameters ? parameters : "", 0) ||
         errno == EEXIST)) {
        close(fd);
        return;
    }
    error = errno;
    if (fd >= 0)
        close(fd);
    say("module ", line, ": ", strerror(error), NULL);
}

void setup_load_modules(void)
{
    char *save = NULL, *line;

    if (read_small_file("/squib/modules", file_text, sizeof(file_text)) <= 0)
        return;
    for (line = strtok_r(file_text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        load_module(line);
}

/* A disk's driver may still be at work after its module was loaded. */
static void wait_for_device(const char *path)
{
    const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
    int tries;

    for (tries = 0; tries < 100 && access(path, F_OK); tries++)
        nanosleep(&pause, NULL);
}

/* Mounts the source with the first file system of the list that takes it.
 * 0 or a negative errno. */
static int mount_source(const struct settings *settings, const char *target,
                        unsigned long flags, struct text *why)
{
    char list[sizeof(settings->rootfstype)];
    char *save = NULL, *type;
    int error = ENODEV;

    if (settings->root[0] == '/')
        wait_for_device(settings->root);
    strcpy(list, settings->rootfstype);
    for (type = strtok_r(list, ",", &save); type;
         type = strtok_r(NULL, ",", &save)) {
        if (!mount(settings->root, target, type, flags | MS_SILENT, NULL))
            return 0;
        /* ENODEV: not in this kernel. EINVAL: not that file system.
         * Whatever else happened is the better thing to report. */
        if (errno != ENODEV && (errno != EINVAL || error == ENODEV))
            error = errno;
        if (errno != ENODEV && errno != EINVAL)
            break;
    }
    text_set(why, "cannot mount the root ", settings->root, " (tried ",
             type ? type : settings->rootfstype, ")", NULL);
    text_add_errno(why, error);
    return -error;
}

static int mount_overlay(const struct settings *settings, struct text *why)
{
    int error = mount_source(settings, LOWER_DIR, MS_RDONLY, why);

    if (error)
        return error;
    if (mount("squib", UPPER_DIR, "tmpfs", 0, "mode=0755") ||
        mkdir(UPPER_DIR "/up", 0755) || mkdir(UPPER_DIR "/work", 0755) ||
        mount("overlay", ROOT_DIR, "overlay", 0,
              "lowerdir=" LOWER_DIR ",upperdir=" UPPER_DIR
              "/up,workdir=" UPPER_DIR "/work")) {
        error = errno;
        text_set(why, "cannot put a writable overlay on the root", NULL);
        text_add_errno(why, error);
        return -error;
    }
    return 0;
}

/* Makes a mount of the initramfs appear in the new root. A root without
 * the directory gets it if it can be written. */
static void carry_mount(const char *from, const char *to)
{
    if (!mount(from, to, NULL, MS_MOVE, NULL))
        return;
    if (errno == ENOENT && !mkdir(to, 0755))
        mount(from, to, NULL, MS_MOVE, NULL);
}

int setup_root(const struct settings *settings, struct text *why)
{
    int error;

    if (!settings->root[0])
        return 0;
    if (settings->rootmode == ROOT_OVERLAY)
        error = mount_overlay(settings, why);
    else
        error = mount_source(
            settings, ROOT_DIR,
            settings->rootmode == ROOT_RO ? MS_RDONLY : 0, why);
    if (error)
        return error;
    carry_mount("/dev", ROOT_DIR "/dev");
    carry_mount("/proc", ROOT_DIR "/proc");
    /* The initramfs itself cannot be unmounted: the root is moved over it
     * and made this process's own. */
    if (chdir(ROOT_DIR) || mount(".", "/", NULL, MS_MOVE, NULL) ||
        chroot(".") || chdir("/")) {
        error = errno;
        text_set(why, "cannot switch to the root ", settings->root, NULL);
        text_add_errno(why, error);
        return -error;
    }
    return 0;
}

static void loopback_up(void)
{
    struct ifreq request;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    memset(&request, 0, sizeof(request));
    strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    /* The kernel gives it 127.0.0.1 by itself. */
    ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
}

static void make_and_mount(const char *type, const char *target,
                           unsigned long flags, const char *data)
{
    if (mount(type, target, type, flags, data) && errno == ENOENT &&
        !mkdir(target, 0755))
        mount(type, target, type, flags, data);
}

void setup_system(const struct settings *settings)
{
    const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    mode_t mask = umask(0);

    sethostname(settings->hostname, strlen(settings->hostname));
    loopback_up();
    make_and_mount("sysfs", "/sys", plain, NULL);
    /* This directory is the kernel's; without it there are no groups. */
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", plain, NULL);
    make_and_mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
                   "gid=5,mode=620,ptmxmode=666");
    /* /dev is a tmpfs already, so shared memory needs only its place. */
    mkdir("/dev/shm", 01777);
    symlink("/proc/self/fd", "/dev/fd");
    symlink("/proc/self/fd/0", "/dev/stdin");
    symlink("/proc/self/fd/1", "/dev/stdout");
    symlink("/proc/self/fd/2", "/dev/stderr");
    if (settings->root[0]) {
        mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
        /* Where it can be written, /tmp stays what the root has there. */
        if (settings->rootmode == ROOT_RO)
            mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV,
                  "mode=1777");
    }
    if (settings->net[0])
        net_up(settings->net);
    umask(mask);
}

void setup_quiesce(const struct settings *settings)
{
    if (!settings->root[0] || settings->rootmode != ROOT_RW)
        return;
    sync();
    /* Marks the file system clean. It may be refused (a deleted file still
     * open); the journal then does at the next mount. */
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
}
