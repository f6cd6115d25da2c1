/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
