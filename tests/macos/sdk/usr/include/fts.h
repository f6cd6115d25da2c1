/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_FTS_H
#define SQ_MACOS_FTS_H

#include <sys/stat.h>

typedef struct sq_ftsent {
    struct sq_ftsent *fts_cycle, *fts_parent, *fts_link;
    long fts_number;
    void *fts_pointer;
    char *fts_accpath, *fts_path;
    int fts_errno, fts_symfd;
    uint16_t fts_pathlen, fts_namelen;
    ino_t fts_ino;
    dev_t fts_dev;
    nlink_t fts_nlink;
    short fts_level;
    uint16_t fts_info, fts_flags, fts_instr;
    struct stat *fts_statp;
    char fts_name[1];
} FTSENT;
typedef struct sq_fts FTS;
#define FTS_COMFOLLOW 0x01
#define FTS_NOCHDIR 0x04
#define FTS_PHYSICAL 0x10
#define FTS_XDEV 0x40
#define FTS_D 1
#define FTS_DC 2
#define FTS_DNR 4
#define FTS_DP 6
#define FTS_ERR 7
#define FTS_F 8
#define FTS_NS 10
#define FTS_SL 12
#define FTS_SLNONE 13
#define FTS_SKIP 4
FTS *fts_open(char *const *path, int options,
              int (*cmp)(const FTSENT **, const FTSENT **));
FTSENT *fts_read(FTS *fts);
int fts_set(FTS *fts, FTSENT *entry, int instruction);
int fts_close(FTS *fts);

#endif
