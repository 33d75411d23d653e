/* Doing as an ordinary user what one may do with one's own files, but not through their permission bits. Private. */
#ifndef OVERLAYKIT_OWNER_H
#define OVERLAYKIT_OWNER_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a failure may be cured by ok_run_as_owner. */
bool ok_owner_may_help(int error);

/*
 * Run job(argument) in a process of its own that has all capabilities over files that belong to the caller's effective
 * user and group, by a user namespace that maps these two to themselves. Other owners' files it sees as nobody's.
 * The process is a fork: what the caller is to see must be in memory from ok_owner_alloc(). `watch`, if any, is
 * called in the caller every few milliseconds meanwhile.
 *
 * Returns what job returned; -EACCES where there are no such namespaces.
 */
int ok_run_as_owner(int (*job)(void *), void (*watch)(void *), void *argument);

/* Zeroed memory that a fork shares with its parent; NULL when there is none. */
void *ok_owner_alloc(size_t size);
void ok_owner_free(void *memory, size_t size);

#endif
