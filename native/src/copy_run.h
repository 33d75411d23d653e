/* One run of copying a tree: its directories, its hard links, its state. Private to copy.c and copy_node.c. */
#ifndef OVERLAYKIT_COPY_RUN_H
#define OVERLAYKIT_COPY_RUN_H

#include "copy.h"
#include "walk.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* A directory of the tree, alive until its own attributes are set, after those of all below it. */
struct node {
    struct node *parent;
    struct node *next;           /* in the stack of directories to copy, or in the list of late modes */
    struct node *older, *newer;  /* among the nodes with open descriptors */
    int source, target;          /* -1: closed, to be opened again by path */
    unsigned pins;               /* who uses the descriptors right now */
    unsigned pending;            /* itself and the children that are not finished */
    unsigned references;         /* who needs the memory: itself, children, hard links */
    struct stat status;
    struct xattrs xattrs;
    char name[];
};

/* The first name of a file that has several. */
struct link {
    uint64_t dev, ino; /* ino 0: free */
    struct node *directory;
    char *name;
    bool made; /* false: a thread is at it, and when it fails the whole run does */
};

struct run {
    struct copy_context context;
    pthread_mutex_t lock;
    pthread_cond_t work, linked;
    struct node *stack; /* the deepest directory first: few are open at a time */
    struct node *oldest, *newest;
    struct node *late;
    size_t open, busy;
    struct link *links;
    size_t link_count, link_room;
    struct node *root;
    struct pairs pairs;
    int error; /* the first */
    char *where;
    size_t where_size;
};

/* The nodes: called with the lock held, which node_done lets go while it sets attributes. */
void node_unref(struct node *node);
struct node *node_new(struct node *parent, const char *name);
const char **node_names(const struct node *node, const struct node *above, size_t *count, const char *last);
void run_fail(struct run *run, int error, const struct node *node, const char *name);
void node_opened(struct run *run, struct node *node);
int node_pin(struct run *run, struct node *node);
void node_unpin(struct node *node);
void node_done(struct run *run, struct node *node);

/* The hard links: called without the lock, which these take themselves. */
int link_known(struct run *run, struct node *node, const struct stat *status, const char *name);
void link_made(struct run *run, const struct stat *status);

#endif
