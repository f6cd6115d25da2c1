/* SPDX-License-Identifier: Apache-2.0 */
#include_next <limits.h>
#include <sq_macos.h>
