/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's init and agent (guest/), an ELF program for each kind of guest
 * that the build embeds here. Empty (start == end) in a build without it. */
#ifndef SQ_ARCH_AGENT_BLOB_H
#define SQ_ARCH_AGENT_BLOB_H

extern const unsigned char sq_agent_x86_64_start[], sq_agent_x86_64_end[];
extern const unsigned char sq_agent_aarch64_start[], sq_agent_aarch64_end[];

#endif
