/* What the operations on a root share: its life, and where a path leads. Private to native/src. */
#ifndef OVERLAYKIT_ROOT_H
#define OVERLAYKIT_ROOT_H

#include "overlaykit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLOSED INT_MIN
#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

static inline int enter(struct ok_root *root)
{
    int users = __atomic_load_n(&root->users, __ATOMIC_RELAXED);

    do
        if (users < 0)
            return -EBADF;
    while (!__atomic_compare_exchange_n(&root->users, &users, users + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    return 0;
}

static inline int leave(struct ok_root *root, int result)
{
    if (__atomic_sub_fetch(&root->users, 1, __ATOMIC_ACQ_REL) == CLOSED)
        close(root->fd);
    return result;
}

static inline const char *relative(const char *path)
{
    while (*path == '/')
        path++;
    return *path ? path : ".";
}

static inline bool is_dots(const char *name, size_t length)
{
    return (length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.');
}

/* A name in the root directory itself: no walk, so system calls that do not follow it need no openat2. */
static inline bool is_plain(const char *path)
{
    return !strchr(path, '/') && !is_dots(path, strlen(path));
}

/* openat2(2), again where the kernel asks for it. */
int open_below(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);

/* A descriptor of what the path leads to, good for *at() with AT_EMPTY_PATH and for /proc/self/fd. */
static inline int open_object(const struct ok_root *root, const char *path, int follow)
{
    return open_below(root->fd, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW), 0, IN_ROOT | root->resolve);
}

struct entry {
    int directory; /* of the last component */
    bool opened;   /* directory is to be closed */
    bool is_root;  /* the path is the root itself */
    bool walks;    /* last ends with a slash or is "..": the kernel would walk on from it */
    const char *last;
};

/* Split a path into an open directory and the last component, with the slashes behind it, which say something too. */
int find_entry(const struct ok_root *root, const char *path, struct entry *entry);

static inline int drop_entry(struct entry *entry, int result)
{
    if (entry->opened)
        close(entry->directory);
    return result;
}

static inline int answer(long result)
{
    return result < 0 ? -errno : (int)result;
}

/* The kernel lets few calls act on an O_PATH descriptor itself, but all of them through this name of it. */
struct name {
    char text[32];
};

static inline struct name descriptor_name(int fd)
{
    struct name name;

    snprintf(name.text, sizeof name.text, "/proc/self/fd/%d", fd);
    return name;
}

#endif
