/* What the functions that walk whole trees share. Private to native/src. */
#ifndef OVERLAYKIT_WALK_H
#define OVERLAYKIT_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One name of a directory; `next_name` bytes later in the arena comes the following one. */
struct entry {
    uint64_t ino;
    uint32_t name; /* offset into entries.names */
    uint8_t type;  /* DT_* */
};

/* A directory's names, read at once: whoever changes the directory afterwards does not disturb the walk. */
struct entries {
    struct entry *list;
    size_t count, room;
    char *names;
    size_t used, space;
};

/* One level of a walk, deepest last. The levels near the root are closed when the walk gets deep, and opened again by
 * path when it comes back: a tree may be deeper than a process may have descriptors. */
struct level {
    int fd; /* -1: closed */
    char *name;
    struct entries entries;
    size_t next;
    int tries;        /* remove.c: how often it was found not empty */
    uint64_t path[2]; /* survey.c: a hash of the path */
};

struct walk {
    struct level *levels;
    size_t depth, room;
    size_t closed; /* levels 1..closed have no descriptor */
};

static inline const char *ok_entry_name(const struct entries *entries, size_t index)
{
    return entries->names + entries->list[index].name;
}

/* Read a directory from its start, without "." and "..", in inode order: what lies together on the disk is visited
 * together. Returns 0 or -errno; `entries` is reused or zero. */
int ok_entries_read(struct entries *entries, int fd);
/* The same by the bytes of the names. */
int ok_entries_read_by_name(struct entries *entries, int fd);
void ok_entries_free(struct entries *entries);

/* Open a directory below `at`, following no symbolic link. With `same_mount` a mount point is -EXDEV. */
int ok_open_directory(int at, const char *path, bool same_mount);

/* Open the directory at names[0]/names[1]/... below `at`, however long that path is. */
int ok_open_chain(int at, const char *const *names, size_t count, bool same_mount);

/* Enter a directory: takes `fd`, copies `name`, does not read it. On failure `fd` is closed. */
int ok_walk_push(struct walk *walk, int fd, const char *name);
/* Leave the deepest directory. */
void ok_walk_pop(struct walk *walk);
/* The descriptor of the deepest level, opened again where it was closed; or -errno. */
int ok_walk_fd(struct walk *walk);
void ok_walk_free(struct walk *walk);
/* Write the path of `name` (NULL: the directory itself) in the deepest level, relative to the root. */
void ok_walk_where(const struct walk *walk, const char *name, char *where, size_t size);

/* Join names into `where`; a path that does not fit loses its beginning. */
void ok_join(const char *const *names, size_t count, char *where, size_t size);

/* Remove everything from a directory, but not itself; see ok_remove_tree. */
int ok_empty_directory(int directory);

/* A set of (device, inode). Returns 1 where it was new, 0 where it was there, -ENOMEM. */
struct inodes {
    struct inode_key {
        uint64_t dev, ino; /* ino 0: free; no file system that can be written has an inode 0 */
    } *slots;
    size_t count, room;
};
int ok_inodes_add(struct inodes *inodes, uint64_t dev, uint64_t ino);
void ok_inodes_free(struct inodes *inodes);

#endif
