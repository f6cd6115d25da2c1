/* SPDX-License-Identifier: Apache-2.0 */
#include <sq_macos.h>
