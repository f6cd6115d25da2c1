/* SPDX-License-Identifier: Apache-2.0 */
/* The program's verbs. Each gets its own name as argv[0] and returns the
 * exit status. */
#ifndef SQ_CLI_VERBS_H
#define SQ_CLI_VERBS_H

int sq_verb_run(int argc, char *argv[]);
int sq_verb_serve(int argc, char *argv[]);
int sq_verb_doctor(int argc, char *argv[]);
int sq_verb_exam(int argc, char *argv[]);
int sq_verb_kernel(int argc, char *argv[]);

#endif
