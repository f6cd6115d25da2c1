/* SPDX-License-Identifier: Apache-2.0 */
#define MAC_OS_X_VERSION_MAX_ALLOWED 150000
