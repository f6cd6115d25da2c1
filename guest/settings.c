/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "text.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void settings_init(struct settings *settings)
{
    memset(settings, 0, sizeof(*settings));
    strcpy(settings->rootfstype, "ext4,erofs,squashfs");
    strcpy(settings->hostname, "squib");
}

static void take_string(char *out, size_t cap, const char *name,
                        const char *value)
{
    if (strlen(value) < cap)
        strcpy(out, value);
    else
        say("setting ", name, " is too long and was ignored", NULL);
}

static void take(struct settings *settings, const char *name,
                 const char *value)
{
    if (!strcmp(name, "root")) {
        if (!strcmp(value, "initramfs"))
            value = "";
        take_string(settings->root, sizeof(settings->root), name, value);
    } else if (!strcmp(name, "rootfstype")) {
        take_string(settings->rootfstype, sizeof(settings->rootfstype),
                    name, value);
    } else if (!strcmp(name, "hostname")) {
        take_string(settings->hostname, sizeof(settings->hostname), name,
                    value);
    } else if (!strcmp(name, "net")) {
        take_string(settings->net, sizeof(settings->net), name, value);
    } else if (!strcmp(name, "publish")) {
        take_string(settings->publish, sizeof(settings->publish), name,
                    value);
    } else if (!strcmp(name, "rootmode")) {
        if (!strcmp(value, "ro"))
            settings->rootmode = ROOT_RO;
        else if (!strcmp(value, "rw"))
            settings->rootmode = ROOT_RW;
        else if (!strcmp(value, "overlay"))
            settings->rootmode = ROOT_OVERLAY;
        else
            say("rootmode=", value, " is not ro, rw or overlay", NULL);
    }
}

void settings_parse(struct settings *settings, char *text, bool prefixed)
{
    static const char prefix[] = "squib.";
    char *save = NULL, *word;

    for (word = strtok_r(text, " \t\n", &save); word;
         word = strtok_r(NULL, " \t\n", &save)) {
        char *equals = strchr(word, '=');

        if (prefixed) {
            if (strncmp(word, prefix, sizeof(prefix) - 1))
                continue;
            word += sizeof(prefix) - 1;
        }
        if (!equals || equals < word)
            continue;
        *equals = 0;
        take(settings, word, equals + 1);
    }
}

long read_small_file(const char *path, char *buf, unsigned long cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned long len = 0;
    ssize_t n = 0;

    if (fd < 0)
        return -1;
    while (len < cap - 1 && (n = read(fd, buf + len, cap - 1 - len)) > 0)
        len += (unsigned long)n;
    close(fd);
    buf[len] = 0;
    return n < 0 ? -1 : (long)len;
}
