/* The directories and the hard links of a run of copying. Who holds the lock, copy_run.h says. */
#include "copy_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPEN_NODES = 96 };

void node_unref(struct node *node)
{
    while (node && !--node->references) {
        struct node *parent = node->parent;
        free(node->xattrs.data);
        free(node);
        node = parent;
    }
}

struct node *node_new(struct node *parent, const char *name)
{
    struct node *node = calloc(1, sizeof *node + strlen(name) + 1);

    if (node) {
        strcpy(node->name, name);
        node->parent = parent;
        node->source = node->target = -1;
        node->pending = node->references = 1;
    }
    return node;
}

const char **node_names(const struct node *node, const struct node *above, size_t *count, const char *last)
{
    size_t depth = last ? 1 : 0;

    for (const struct node *at = node; at != above; at = at->parent)
        depth++;
    const char **names = malloc((depth + 1) * sizeof *names);
    if (!names)
        return NULL;
    *count = depth;
    if (last)
        names[--depth] = last;
    for (const struct node *at = node; at != above; at = at->parent)
        names[--depth] = at->name;
    return names;
}

void run_fail(struct run *run, int error, const struct node *node, const char *name)
{
    if (run->error)
        return;
    size_t count;
    const char **names = node_names(node, run->root, &count, name);
    if (names)
        ok_join(names, count, run->where, run->where_size);
    free(names);
    __atomic_store_n(&run->error, error, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&run->work);
    pthread_cond_broadcast(&run->linked);
}

static void node_close(struct run *run, struct node *node)
{
    if (node->target < 0)
        return;
    close(node->target);
    close(node->source);
    node->source = node->target = -1;
    *(node->older ? &node->older->newer : &run->oldest) = node->newer;
    *(node->newer ? &node->newer->older : &run->newest) = node->older;
    node->older = node->newer = NULL;
    run->open--;
}

void node_opened(struct run *run, struct node *node)
{
    node->older = run->newest;
    *(run->newest ? &run->newest->newer : &run->oldest) = node;
    run->newest = node;
    run->open++;
    for (struct node *old = run->oldest; old && run->open > OPEN_NODES;) {
        struct node *newer = old->newer;
        if (!old->pins && old != run->root)
            node_close(run, old);
        old = newer;
    }
}

/* Make sure that the node's descriptors are open, and keep them so until node_unpin. */
int node_pin(struct run *run, struct node *node)
{
    if (node->target < 0) {
        struct node *above = node->parent;
        while (above->target < 0)
            above = above->parent;
        size_t count;
        const char **names = node_names(node, above, &count, NULL);
        if (!names)
            return -ENOMEM;
        bool same_mount = !(run->context.flags & OK_COPY_CROSS_MOUNTS);
        int source = ok_open_chain(above->source, names, count, same_mount);
        int target = source < 0 ? source : ok_open_chain(above->target, names, count, true);
        free(names);
        if (target < 0) {
            if (source >= 0)
                close(source);
            return target;
        }
        node->source = source;
        node->target = target;
        node->pins++;
        node_opened(run, node);
        return 0;
    }
    node->pins++;
    return 0;
}

void node_unpin(struct node *node)
{
    node->pins--;
}

/* The mode a directory keeps until the end: its owner must get in as long as something is to be linked from there. */
static mode_t node_mode(const struct run *run, const struct node *node)
{
    mode_t mode = node->status.st_mode & 07777;
    return run->context.privileged ? mode : mode | 0500;
}

/* One pending thing of `node` is done; what is complete by that gets its attributes. */
void node_done(struct run *run, struct node *node)
{
    while (node && !--node->pending) {
        struct node *parent = node->parent;
        int error = run->error ? 0 : node_pin(run, node);
        if (!error && !run->error) {
            mode_t mode = node_mode(run, node);
            pthread_mutex_unlock(&run->lock);
            error = ok_copy_directory_attributes(&node->xattrs, &node->status, mode, node->target, node == run->root);
            pthread_mutex_lock(&run->lock);
            node_unpin(node);
            if (!error && mode != (node->status.st_mode & 07777)) {
                node->references++;
                node->next = run->late;
                run->late = node;
            }
        }
        if (error)
            run_fail(run, error, node, NULL);
        if (node != run->root)
            node_close(run, node);
        node_unref(node);
        node = parent;
    }
}

/* ---- hard links ---- */

static size_t link_slot(const struct run *run, uint64_t dev, uint64_t ino)
{
    uint64_t hash = (ino ^ (dev << 32 | dev >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (size_t)(hash >> 32) & (run->link_room - 1);

    while (run->links[slot].ino && (run->links[slot].ino != ino || run->links[slot].dev != dev))
        slot = (slot + 1) & (run->link_room - 1);
    return slot;
}

static int links_grow(struct run *run)
{
    struct link *old = run->links;
    size_t old_room = run->link_room;

    if (run->link_count * 4 < run->link_room * 3)
        return 0;
    size_t room = old_room ? old_room * 2 : 256;
    struct link *links = calloc(room, sizeof *links);
    if (!links)
        return -ENOMEM;
    run->links = links;
    run->link_room = room;
    for (size_t i = 0; i < old_room; i++)
        if (old[i].ino)
            links[link_slot(run, old[i].dev, old[i].ino)] = old[i];
    free(old);
    return 0;
}

/* Link `name` in `node` to the first name of the same file. Returns 1 when that is done, 0 when this is the first name:
 * the caller makes the file and says link_made. */
int link_known(struct run *run, struct node *node, const struct stat *status, const char *name)
{
    pthread_mutex_lock(&run->lock);
    int error = links_grow(run);
    if (error)
        goto out;
    struct link *link = &run->links[link_slot(run, status->st_dev, status->st_ino)];
    if (!link->ino) {
        char *copy = strdup(name);
        if (!copy) {
            error = -ENOMEM;
            goto out;
        }
        *link = (struct link){.dev = status->st_dev, .ino = status->st_ino, .directory = node, .name = copy};
        node->references++;
        run->link_count++;
        goto out;
    }
    while (!link->made && !run->error) {
        pthread_cond_wait(&run->linked, &run->lock);
        link = &run->links[link_slot(run, status->st_dev, status->st_ino)]; /* the table may have grown */
    }
    if (run->error) {
        error = -ECANCELED;
        goto out;
    }
    struct node *first = link->directory;
    const char *first_name = link->name;
    if (first->target >= 0) { /* the lock keeps it open */
        error = linkat(first->target, first_name, node->target, name, 0) ? -errno : 1;
        goto out;
    }
    size_t count;
    const char **names = node_names(first, run->root, &count, NULL);
    if (!names) {
        error = -ENOMEM;
        goto out;
    }
    int directory = ok_open_chain(run->root->target, names, count, true);
    free(names);
    error = directory < 0 ? directory : linkat(directory, first_name, node->target, name, 0) ? -errno : 1;
    if (directory >= 0)
        close(directory);
out:
    pthread_mutex_unlock(&run->lock);
    return error;
}

void link_made(struct run *run, const struct stat *status)
{
    pthread_mutex_lock(&run->lock);
    run->links[link_slot(run, status->st_dev, status->st_ino)].made = true;
    pthread_cond_broadcast(&run->linked);
    pthread_mutex_unlock(&run->lock);
}
