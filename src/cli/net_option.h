/* SPDX-License-Identifier: Apache-2.0 */
/* `--net KIND`: what it means for the machine and for the guest. */
#ifndef SQ_CLI_NET_OPTION_H
#define SQ_CLI_NET_OPTION_H

#include <stdbool.h>

#include <squib/error.h>

#include "vmm/config.h"

/* What the guest's agent configures in a user-mode network: address and
 * prefix, router, name server. */
#define SQ_NET_USER_SETTING "10.0.2.15/24,10.0.2.2,10.0.2.3"

/* none, user, tap=NAME or unix=PATH. NULL is none. Errors: SQUIB_E_INVAL. */
int sq_net_option_check(const char *value, struct squib_error *err);

/* Whether there is to be an interface at all, and whether the agent is to
 * configure it. */
bool sq_net_option_wanted(const char *value);
bool sq_net_option_is_user(const char *value);
bool sq_net_option_is_tap(const char *value);

/* Adds the interface to the spec. no_host: a user-mode network does not lead
 * to this host's own services. Errors: SQUIB_E_NOTFOUND (this squib has
 * no network helper), SQUIB_E_INVAL. */
int sq_net_option_apply(const char *value, bool no_host,
                        struct sq_vm_spec *spec, struct squib_error *err);

/* Where the network helper is. Errors: SQUIB_E_NOTFOUND. */
int sq_net_find_helper(char path[SQ_SPEC_PATH_MAX], struct squib_error *err);

#endif
