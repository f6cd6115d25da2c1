/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/legacy/testdev.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

/* --- exit -------------------------------------------------------------- */

static void none_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    (void)dev;
    (void)off;
    memset(data, 0, len);
}

static uint32_t value(const uint8_t *data, unsigned len)
{
    uint8_t word[4] = {0};

    memcpy(word, data, len < sizeof(word) ? len : sizeof(word));
    return sq_ld32(word);
}

static void exit_write(void *dev, uint64_t off, const uint8_t *data,
                       unsigned len)
{
    struct sq_testdev *t = dev;

    (void)off;
    t->config.exit(t->config.ctx, value(data, len));
}

static const struct sq_bus_ops exit_ops = {none_read, exit_write};

/* --- latches and lines ------------------------------------------------- */

static void mem_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_testdev *t = dev;

    pthread_mutex_lock(&t->lock);
    memcpy(data, t->mem + off, len);
    pthread_mutex_unlock(&t->lock);
}

static void mem_write(void *dev, uint64_t off, const uint8_t *data,
                      unsigned len)
{
    struct sq_testdev *t = dev;

    pthread_mutex_lock(&t->lock);
    memcpy(t->mem + off, data, len);
    pthread_mutex_unlock(&t->lock);
}

static void latch_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_testdev *t = dev;

    pthread_mutex_lock(&t->lock);
    memcpy(data, t->latch + off, len);
    pthread_mutex_unlock(&t->lock);
}

static void latch_write(void *dev, uint64_t off, const uint8_t *data,
                        unsigned len)
{
    struct sq_testdev *t = dev;

    pthread_mutex_lock(&t->lock);
    memcpy(t->latch + off, data, len);
    pthread_mutex_unlock(&t->lock);
}

static void byte_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_testdev *t = dev;

    pthread_mutex_lock(&t->lock);
    memcpy(data, t->byte + off, len);
    pthread_mutex_unlock(&t->lock);
}

static void byte_write(void *dev, uint64_t off, const uint8_t *data,
                       unsigned len)
{
    struct sq_testdev *t = dev;

    pthread_mutex_lock(&t->lock);
    memcpy(t->byte + off, data, len);
    pthread_mutex_unlock(&t->lock);
}

static void sink_write(void *dev, uint64_t off, const uint8_t *data,
                       unsigned len)
{
    (void)dev;
    (void)off;
    (void)data;
    (void)len;
}

/* The port chooses the line, whatever the width of the access. */
static void line_write(void *dev, uint64_t off, const uint8_t *data,
                       unsigned len)
{
    const struct sq_testdev *t = dev;

    if (off < SQ_TESTDEV_LINES)
        sq_irq_set(&t->config.line[off], value(data, len) != 0);
}

static const struct sq_bus_ops mem_ops = {mem_read, mem_write};
static const struct sq_bus_ops latch_ops = {latch_read, latch_write};
static const struct sq_bus_ops flush_ops = {none_read, sink_write};
static const struct sq_bus_ops byte_ops = {byte_read, byte_write};
static const struct sq_bus_ops line_ops = {none_read, line_write};

/* --- fw_cfg ------------------------------------------------------------ */

enum { KEY_SIGNATURE = 0, KEY_MEM = 3, KEY_CPUS = 5, KEY_MAX_CPUS = 15 };

/* The next byte of the chosen entry; zero behind its end and of others. */
static uint8_t next_byte(struct sq_testdev *t)
{
    uint8_t entry[8] = {0};

    switch (t->key) {
    case KEY_SIGNATURE:
        memcpy(entry, "QEMU", 4);
        break;
    case KEY_MEM:
        sq_st64(entry, t->config.mem_len);
        break;
    case KEY_CPUS:
    case KEY_MAX_CPUS:
        sq_st16(entry, (uint16_t)t->config.vcpus);
        break;
    default:
        break;
    }
    return t->at < sizeof(entry) ? entry[t->at++] : 0;
}

/* The selector at 0x510 is two bytes wide, the data at 0x511 one: they
 * overlap, so what an access means depends on its place and direction. */
static void fw_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    struct sq_testdev *t = dev;

    memset(data, 0, len);
    if (off != 1)
        return;
    pthread_mutex_lock(&t->lock);
    data[0] = next_byte(t);
    pthread_mutex_unlock(&t->lock);
}

static void fw_write(void *dev, uint64_t off, const uint8_t *data,
                     unsigned len)
{
    struct sq_testdev *t = dev;

    if (off != 0 || len != 2)
        return;
    pthread_mutex_lock(&t->lock);
    t->key = sq_ld16(data);
    t->at = 0;
    pthread_mutex_unlock(&t->lock);
}

static const struct sq_bus_ops fw_ops = {fw_read, fw_write};

/* ----------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint16_t port, len;
    const struct sq_bus_ops *ops;
} ports_of[] = {
    {"test latch", 0xe0, 4, &latch_ops},
    {"test flush", 0xe4, 4, &flush_ops},
    {"test byte", 0xe8, 4, &byte_ops},
    {"test exit", 0xf4, 4, &exit_ops},
    {"fw_cfg", 0x510, 2, &fw_ops},
    /* An access of four bytes to the last line is one to that line. */
    {"test lines", 0x2000, SQ_TESTDEV_LINES + 3, &line_ops},
};

int sq_testdev_init(struct sq_testdev *t,
                    const struct sq_testdev_config *config,
                    struct sq_bus *ports, struct sq_bus *mmio,
                    struct squib_error *err)
{
    int rc;

    memset(t, 0, sizeof(*t));
    t->config = *config;
    t->mem = calloc(1, SQ_TESTDEV_MEM_LEN);
    if (!t->mem)
        return sq_err_set(err, SQUIB_E_NOMEM, "test device: no memory");
    rc = pthread_mutex_init(&t->lock, NULL);
    if (rc) {
        free(t->mem);
        return sq_err_os(err, SQUIB_E_OS, rc, "test device: no lock");
    }
    for (size_t i = 0; i < SQ_ARRAY_LEN(ports_of) && !rc; i++)
        rc = sq_bus_add(ports, ports_of[i].name, ports_of[i].port,
                        ports_of[i].len, ports_of[i].ops, t, err);
    if (!rc)
        rc = sq_bus_add(mmio, "test memory", SQ_TESTDEV_MEM_GPA,
                        SQ_TESTDEV_MEM_LEN, &mem_ops, t, err);
    if (rc)
        sq_testdev_fini(t);
    return rc;
}

void sq_testdev_fini(struct sq_testdev *t)
{
    pthread_mutex_destroy(&t->lock);
    free(t->mem);
}
