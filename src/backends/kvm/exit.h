/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From struct kvm_run to struct squib_exit. No system calls: everything here
 * can be fed by a test.
 *
 * One native exit may become several of ours (string I/O). So decoding has a
 * little state: start with sq_kvm_decode_begin() after each KVM_RUN that
 * returned 0; call sq_kvm_decode_next() before the next KVM_RUN until it
 * says that there is nothing left.
 */
#ifndef SQ_BACKENDS_KVM_EXIT_H
#define SQ_BACKENDS_KVM_EXIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>
#include <squib/exit.h>

#define SQ_KVM_TEXT_LEN 160

struct sq_kvm_decode {
    uint32_t element; /* of a string I/O: which one was handed out */
    bool answer;      /* the caller's data must go back into *run */
    char text[SQ_KVM_TEXT_LEN];
};

/* Decodes run->exit_reason. True: *out is for the caller. False: nothing for
 * the caller (a window that nobody asked for): run again. run_len is the
 * size of the mapping that `run` starts; no access goes beyond. */
bool sq_kvm_decode_begin(struct sq_kvm_decode *d, const struct kvm_run *run,
                         size_t run_len, struct squib_exit *out);

/* Takes the caller's answer to the exit handed out last into *run, and hands
 * out the next element of a string I/O. False: KVM_RUN is next. */
bool sq_kvm_decode_next(struct sq_kvm_decode *d, struct kvm_run *run,
                        struct squib_exit *io);

/* Whether decode_next() would hand out a further element. */
bool sq_kvm_decode_more(const struct sq_kvm_decode *d,
                        const struct kvm_run *run);

/* KVM_RUN failed with os_errno: an INTERNAL_ERROR. */
void sq_kvm_decode_errno(struct sq_kvm_decode *d, int os_errno,
                         struct squib_exit *out);

/* For the files of one architecture: fills *out. `text` is static, or in a
 * struct sq_kvm_decode. */
void sq_kvm_internal_error(struct squib_exit *out, const char *text,
                           uint64_t a, uint64_t b);

/* x86_64/exit.c or aarch64/exit.c. _suberror: whether it can say more of an
 * internal error of KVM; _arch: whether it knows the exit. */
bool sq_kvm_decode_suberror(struct sq_kvm_decode *d,
                            const struct kvm_run *run,
                            struct squib_exit *out);
void sq_kvm_decode_debug(const struct kvm_run *run,
                         struct squib_exit_debug *out);
bool sq_kvm_decode_arch(struct sq_kvm_decode *d, const struct kvm_run *run,
                        struct squib_exit *out);

/* x86-64: the mnemonic of a few instructions that weak KVMs cannot emulate,
 * by its bytes; NULL for any other. */
const char *sq_kvm_insn_name(const uint8_t *bytes, size_t len);

#endif
