#ifndef OVERLAYKIT_USERNS_H
#define OVERLAYKIT_USERNS_H

/*
 * Runs job(argument) in a process that is made for it, shares the caller's descriptor table, is in a mount namespace of its
 * own and, with `user` set, is root of a user namespace of its own in which 0 is the caller's effective user and group.
 * Returns what job returned.
 *
 * The process shares the caller's memory unless own_memory is set, and other threads of the caller may hold any lock: job
 * must do system calls and nothing else, and keep what it returns in memory from ok_shared_alloc().
 *
 * *step is set to OK_STEP_NAMESPACE or OK_STEP_MAPPING where that is what failed.
 */
int ok_run_in_namespace(int user, int own_memory, int (*job)(void *), void *argument, int *step);

/* Whether such a process needs memory of its own: the caller is not dumpable, and may not become it for a moment. */
int ok_needs_own_memory(void);

/* Zeroed memory that such a process and its caller both see; NULL when there is none. */
void *ok_shared_alloc(unsigned long size, int own_memory);
void ok_shared_free(void *memory, unsigned long size, int own_memory);

/* Makes an id of the caller's and a group of the caller's 0 in the user namespace that the calling process has just begun, and
 * does system calls alone. */
int ok_map_ids(unsigned uid, unsigned gid);

#endif
