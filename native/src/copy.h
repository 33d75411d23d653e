/* Copying one object: what copy.c, which walks, asks of copy_entry.c. Private to native/src. */
#ifndef OVERLAYKIT_COPY_H
#define OVERLAYKIT_COPY_H

#include "overlaykit.h"

#include <stdbool.h>
#include <sys/stat.h>

/* What one run has learned, shared by its threads; a flag only ever goes from false to true. */
struct copy_context {
    struct ok_copy_progress *progress;
    uint64_t flags;
    dev_t device;    /* the source root's: what is learned below holds for pairs of it with the target */
    bool no_reflink; /* FICLONE */
    bool no_range;   /* copy_file_range */
    bool no_noatime; /* O_NOATIME */
    bool no_xattrs;  /* the source has none at all */
    bool privileged;
    bool several_devices; /* the source is on more than one: inode numbers alone say nothing */
};

/* Which inode was made of which, in the order of the struct. */
struct pairs {
    struct pair {
        uint64_t source, target;
    } *list;
    size_t count, room;
};

/* Extended attributes read from one object; the memory is used again for the next. */
struct xattrs {
    size_t count;
    char *data; /* name NUL length(8) value, again and again */
    size_t used, space;
};

/* One thread's belongings. */
struct copy_worker {
    struct copy_context *context;
    char *buffer;
    struct xattrs xattrs;
    struct pairs pairs;
};

enum { COPY_BUFFER = 256 * 1024 };

static inline bool copy_known(const bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static inline void copy_learn(bool *flag)
{
    __atomic_store_n(flag, true, __ATOMIC_RELAXED);
}

static inline void copy_count(uint64_t *counter, uint64_t amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

/* Open a regular file for copying; follows nothing, does not block on what became a FIFO. */
int ok_copy_open(struct copy_worker *worker, int directory, const char *name);
/* Copy a regular file, content and attributes. */
int ok_copy_file(struct copy_worker *worker, int source, const struct stat *status, int directory, const char *name);
/* Copy a symbolic link, FIFO, socket or device node. */
int ok_copy_special(struct copy_worker *worker, int source_directory, const struct stat *status, int directory,
                    const char *name);
/* Read the attributes of an open object into `xattrs`. */
int ok_xattrs_read(struct copy_context *context, struct xattrs *xattrs, int fd, const char *path, dev_t device);
/* Note which inode was made of which. */
int ok_copy_note(struct copy_worker *worker, const struct stat *source, const struct stat *target);
/* Take from the target what its children would inherit. */
int ok_copy_prepare_root(int target);
/* Give an open directory its final attributes. `exact` removes the attributes that the source did not have. */
int ok_copy_directory_attributes(const struct xattrs *xattrs, const struct stat *status, mode_t mode, int target,
                                 bool exact);

#endif
