/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/net_option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "os/host.h"

#define HELPER "squib-usernet"

/* Large, since a guest on the software CPU pays by the packet; but libslirp
 * has windows of 64 KiB, and with fewer than about four segments in one its
 * sender waits for a timer of seconds. */
#define USER_MTU 16384u

/* What follows "NAME=", or NULL. */
static const char *argument(const char *value, const char *name)
{
    size_t len = strlen(name);

    return strncmp(value, name, len) == 0 && value[len] == '='
               ? value + len + 1
               : NULL;
}

bool sq_net_option_wanted(const char *value)
{
    return value && strcmp(value, "none") != 0;
}

bool sq_net_option_is_user(const char *value)
{
    return value && strcmp(value, "user") == 0;
}

bool sq_net_option_is_tap(const char *value)
{
    return value && argument(value, "tap");
}

int sq_net_option_check(const char *value, struct squib_error *err)
{
    const char *tap, *path;

    if (!sq_net_option_wanted(value) || sq_net_option_is_user(value))
        return 0;
    tap = argument(value, "tap");
    path = argument(value, "unix");
    if (tap && (!tap[0] || strlen(tap) > SQ_SPEC_TAP_MAX))
        return sq_err_set(err, SQUIB_E_INVAL, "--net: '%.40s' cannot be an "
                          "interface's name (1 to %d characters)", tap,
                          SQ_SPEC_TAP_MAX);
    if (!tap && (!path || !path[0]))
        return sq_err_set(err, SQUIB_E_INVAL, "--net: '%.40s' is no kind of "
                          "network\n  do: use none, user, tap=NAME or "
                          "unix=PATH", value);
    return 0;
}

int sq_net_find_helper(char path[SQ_SPEC_PATH_MAX], struct squib_error *err)
{
    /* Beside this program, installed, in a build folder. */
    static const char *const places[] = {"", "/../libexec/squib",
                                         "/../lib/squib", "/src/usernet"};
    const char *env = getenv("SQUIB_USERNET");
    char self[SQ_SPEC_PATH_MAX];
    char *slash;

    if (env && env[0])
        return sq_spec_set(path, SQ_SPEC_PATH_MAX, "SQUIB_USERNET", env,
                           err);
    sq_host_self(self, sizeof(self));
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; slash && i < SQ_ARRAY_LEN(places); i++) {
        int len = snprintf(path, SQ_SPEC_PATH_MAX, "%s%s/" HELPER, self,
                           places[i]);

        if (len < SQ_SPEC_PATH_MAX && access(path, X_OK) == 0)
            return 0;
    }
    return sq_err_set(err, SQUIB_E_NOTFOUND,
                      "--net user needs " HELPER ", which is not installed "
                      "beside squib\n  do: apt install libslirp-dev, build "
                      "again; or use --net tap=NAME or unix=PATH");
}

int sq_net_option_apply(const char *value, bool no_host,
                        struct sq_vm_spec *spec, struct squib_error *err)
{
    static const uint8_t mac[6] = {0x06, 0x00, 10, 0, 2, 15};
    struct sq_net_spec *n;
    const char *tap, *path;

    if (!sq_net_option_wanted(value))
        return 0;
    n = sq_spec_net_add(spec, err);
    if (!n)
        return SQUIB_E_INVAL;
    memcpy(n->id, "eth0", sizeof("eth0"));
    tap = argument(value, "tap");
    path = argument(value, "unix");
    if (tap) {
        n->kind = SQ_NET_TAP;
        n->tap_must_exist = true;
        return sq_spec_set(n->tap, sizeof(n->tap), "--net", tap, err);
    }
    if (path) {
        n->kind = SQ_NET_SOCKET;
        return sq_spec_set(n->path, sizeof(n->path), "--net", path, err);
    }
    n->kind = SQ_NET_USER;
    n->mtu = USER_MTU;
    n->no_host = no_host;
    n->has_mac = true;
    memcpy(n->mac, mac, sizeof(mac));
    return sq_net_find_helper(n->path, err);
}
