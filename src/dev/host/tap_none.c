/* SPDX-License-Identifier: Apache-2.0 */
/* In place of tap.c on hosts that have no tap interfaces. */
#include "dev/host/tap.h"

#include "base/err.h"

int sq_tap_open(const char *name, enum sq_tap_missing missing,
                struct sq_net_backend **out, struct squib_error *err)
{
    (void)missing;
    (void)out;
    return sq_err_set(err, SQUIB_E_NOSUPPORT, "tap %s: this system has no tap "
                      "interfaces\n  do: use --net unix=PATH", name);
}
