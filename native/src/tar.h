#ifndef OK_TAR_H
#define OK_TAR_H

#include "overlaykit.h"

#include <stdint.h>

/* What the headers in front of a member say of it; an offset of UINT64_MAX: nothing. */
struct tar_extra {
    const char *path, *link; /* with their length, not ended by NUL */
    size_t path_size, link_size;
    int64_t size, uid, gid, seconds;
    uint32_t nsec;
    unsigned has; /* TAR_HAS_* */
    uint64_t pax, pax_size;
    int complex;
};

enum {
    TAR_HAS_PATH = 1,
    TAR_HAS_LINK = 2,
    TAR_HAS_SIZE = 4,
    TAR_HAS_UID = 8,
    TAR_HAS_GID = 16,
    TAR_HAS_TIME = 32,
    TAR_HAS_GNU = 64, /* a long name or link of GNU's */
};

/* A number field: octal, or GNU's base 256. Returns 0 or -1. */
int tar_number(const uint8_t *field, size_t size, int64_t *value);

/* The records of a pax header. Returns 0 or an OK_TAR_FAULT. */
int tar_pax(const uint8_t *data, size_t size, struct tar_extra *extra);

#endif
