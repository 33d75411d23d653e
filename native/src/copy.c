#include "copy_run.h"

#include "owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 16 };

/* Copy anything but a directory. Returns -EISDIR where it is one after all. */
static int copy_object(struct run *run, struct copy_worker *worker, struct node *node, const char *name, uint8_t type)
{
    struct stat status;
    int source = -1, error;

    if (type == DT_REG) {
        source = ok_copy_open(worker, node->source, name);
        if (source < 0 && source != -ELOOP && source != -ENXIO)
            return source == -ENOENT ? 0 : source;
    }
    if (source >= 0 ? fstat(source, &status) : fstatat(node->source, name, &status, AT_SYMLINK_NOFOLLOW))
        error = errno == ENOENT ? 0 : -errno;
    else if (S_ISDIR(status.st_mode))
        error = -EISDIR;
    else {
        bool several = status.st_nlink > 1;
        error = several ? link_known(run, node, &status, name) : 0;
        if (!error) {
            if (S_ISREG(status.st_mode) && source < 0) {
                source = ok_copy_open(worker, node->source, name);
                error = source < 0 ? source : 0;
            }
            if (!error)
                error = S_ISREG(status.st_mode) ? ok_copy_file(worker, source, &status, node->target, name)
                                                : ok_copy_special(worker, node->source, &status, node->target, name);
            if (several && !error)
                link_made(run, &status);
        } else if (error == 1) {
            error = 0;
            copy_count(&run->context.progress->links, 1);
        }
        if (!error)
            copy_count(&run->context.progress->entries, 1);
    }
    if (source >= 0)
        close(source);
    return error;
}

/* Put a directory on the stack. */
static int defer(struct run *run, struct node *parent, const char *name)
{
    pthread_mutex_lock(&run->lock);
    struct node *child = node_new(parent, name);
    if (child) {
        parent->pending++;
        parent->references++;
        child->next = run->stack;
        run->stack = child;
        pthread_cond_signal(&run->work);
    }
    pthread_mutex_unlock(&run->lock);
    return child ? 0 : -ENOMEM;
}

/* Make the directory and open both sides. Returns 1, or 0 where it has disappeared from the source. */
static int enter(struct run *run, struct copy_worker *worker, struct node *node)
{
    struct node *parent = node->parent;
    struct stat made;

    pthread_mutex_lock(&run->lock);
    int error = node_pin(run, parent);
    pthread_mutex_unlock(&run->lock);
    if (error)
        return error;
    int target = -1;
    int source = ok_open_directory(parent->source, node->name, !(run->context.flags & OK_COPY_CROSS_MOUNTS));
    if (source < 0)
        error = source == -ENOENT ? 0 : source;
    else if (fstat(source, &node->status))
        error = -errno;
    else if (mkdirat(parent->target, node->name, (node->status.st_mode & 0777) | 0700))
        error = -errno;
    else {
        target = ok_open_directory(parent->target, node->name, true);
        error = target < 0 ? target : fstat(target, &made) ? -errno : ok_copy_note(worker, &node->status, &made);
        if (!error)
            error = 1;
    }
    if (error != 1 && source >= 0)
        close(source);
    if (error != 1 && target >= 0)
        close(target);
    pthread_mutex_lock(&run->lock);
    node_unpin(parent);
    if (error == 1) {
        node->source = source;
        node->target = target;
        node->pins = 1;
        node_opened(run, node);
    }
    pthread_mutex_unlock(&run->lock);
    return error;
}

static int copy_names(struct run *run, struct copy_worker *worker, struct node *node, struct entries *entries,
                      const char **failed)
{
    int error = ok_entries_read(entries, node->source);

    *failed = NULL;
    if (error)
        return error;
    error = ok_xattrs_read(&run->context, &node->xattrs, node->source, NULL, node->status.st_dev);
    if (error)
        return error;
    for (size_t i = 0; i < entries->count; i++) {
        const char *name = ok_entry_name(entries, i);
        uint8_t type = entries->list[i].type;

        if (__atomic_load_n(&run->error, __ATOMIC_RELAXED))
            return 0;
        error = __atomic_load_n(&run->context.progress->cancel, __ATOMIC_RELAXED) ? -ECANCELED : 0;
        if (!error)
            error = type == DT_DIR ? -EISDIR : copy_object(run, worker, node, name, type);
        if (error == -EISDIR)
            error = defer(run, node, name);
        if (error) {
            *failed = name;
            return error;
        }
    }
    return 0;
}

static void copy_directory(struct run *run, struct copy_worker *worker, struct node *node, struct entries *entries)
{
    const char *failed = NULL;
    bool root = node == run->root;
    int entered = root ? 1 : enter(run, worker, node);
    int error = entered < 0 ? entered : 0;

    if (entered == 1) {
        error = copy_names(run, worker, node, entries, &failed);
        if (!root && !error)
            copy_count(&run->context.progress->entries, 1);
    }
    pthread_mutex_lock(&run->lock);
    if (error)
        run_fail(run, error, node, failed);
    if (entered == 1) {
        node_unpin(node);
        node_done(run, node);
    } else { /* nothing was made */
        struct node *parent = node->parent;
        node_unref(node);
        node_done(run, parent);
    }
    pthread_mutex_unlock(&run->lock);
}

static void merge_pairs(struct run *run, const struct pairs *pairs)
{
    size_t count = run->pairs.count + pairs->count;

    if (!pairs->count)
        return;
    struct pair *list = realloc(run->pairs.list, count * sizeof *list);
    if (!list) {
        run_fail(run, -ENOMEM, run->root, NULL);
        return;
    }
    memcpy(list + run->pairs.count, pairs->list, pairs->count * sizeof *list);
    run->pairs = (struct pairs){.list = list, .count = count, .room = count};
}

static int by_source(const void *left, const void *right)
{
    uint64_t a = ((const struct pair *)left)->source, b = ((const struct pair *)right)->source;
    return a < b ? -1 : a > b;
}

/* Write down which inode was made of which; nothing where that would be ambiguous. */
static int write_pairs(struct run *run, int fd)
{
    const char *data = (const char *)run->pairs.list;
    size_t size = run->pairs.count * sizeof *run->pairs.list;

    if (run->context.several_devices || !size)
        return 0;
    qsort(run->pairs.list, run->pairs.count, sizeof *run->pairs.list, by_source);
    while (size) {
        ssize_t put = write(fd, data, size);
        if (put < 0 && errno != EINTR)
            return -errno;
        if (put > 0) {
            data += put;
            size -= (size_t)put;
        }
    }
    return 0;
}

static void *work(void *argument)
{
    struct run *run = argument;
    struct copy_worker worker = {.context = &run->context, .buffer = malloc(COPY_BUFFER)};
    struct entries entries = {0};

    if (!unshare(CLONE_FS)) /* an umask of this thread's own: things are made with the right mode */
        umask(0);
    pthread_mutex_lock(&run->lock);
    if (!worker.buffer)
        run_fail(run, -ENOMEM, run->root, NULL);
    while (!run->error && (run->stack || run->busy)) {
        struct node *node = run->stack;
        if (!node) {
            pthread_cond_wait(&run->work, &run->lock);
            continue;
        }
        run->stack = node->next;
        run->busy++;
        pthread_mutex_unlock(&run->lock);
        copy_directory(run, &worker, node, &entries);
        pthread_mutex_lock(&run->lock);
        run->busy--;
        if (!run->busy)
            pthread_cond_broadcast(&run->work);
    }
    if (!run->error)
        merge_pairs(run, &worker.pairs);
    pthread_mutex_unlock(&run->lock);
    ok_entries_free(&entries);
    free(worker.pairs.list);
    free(worker.buffer);
    free(worker.xattrs.data);
    return NULL;
}

static int start_and_wait(struct run *run, int threads)
{
    pthread_t ids[MAX_THREADS];
    sigset_t all, before;
    int started = 0, error = 0;

    /* Signals are the caller's: a handler must not run in a thread that nobody knows. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < threads && !error) {
        error = pthread_create(&ids[started], NULL, work, run);
        if (!error)
            started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (int i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    return started ? 0 : -error;
}

/* Take from directories, the deepest first, the permission that linking from them needed. */
static void apply_late_modes(struct run *run)
{
    struct node *in_order = NULL;

    while (run->late) { /* the list has the parents in front */
        struct node *node = run->late;
        run->late = node->next;
        node->next = in_order;
        in_order = node;
    }
    while (in_order) {
        struct node *node = in_order;
        in_order = node->next;
        size_t count;
        const char **names = run->error ? NULL : node_names(node, run->root, &count, NULL);
        if (names) {
            int fd = ok_open_chain(run->root->target, names, count, true);
            if (fd < 0 || fchmod(fd, node->status.st_mode & 07777))
                run_fail(run, fd < 0 ? fd : -errno, node, NULL);
            if (fd >= 0)
                close(fd);
            free(names);
        } else
            run_fail(run, -ENOMEM, node, NULL);
        node_unref(node);
    }
}

static void discard(struct run *run)
{
    while (run->stack) {
        struct node *node = run->stack, *parent = node->parent;
        run->stack = node->next;
        node_unref(node);
        node_done(run, parent);
    }
    for (size_t i = 0; i < run->link_room; i++)
        if (run->links[i].ino) {
            free(run->links[i].name);
            node_unref(run->links[i].directory);
        }
    free(run->links);
}

static int open_root(struct run *run, int source, int target)
{
    struct node *root = run->root = node_new(NULL, "");

    if (!root)
        return -ENOMEM;
    root->source = ok_open_directory(source, ".", false);
    if (root->source < 0)
        return root->source;
    root->target = ok_open_directory(target, ".", false);
    if (root->target < 0)
        return root->target;
    if (fstat(root->source, &root->status))
        return -errno;
    run->context.device = root->status.st_dev;
    /* What is made in the target must not inherit a group or an ACL from it. */
    struct entries entries = {0};
    int error = ok_entries_read(&entries, root->target);
    if (!error && entries.count)
        error = -ENOTEMPTY;
    ok_entries_free(&entries);
    if (!error)
        error = ok_copy_prepare_root(root->target);
    if (!error) {
        root->pins = 1;
        root->references++; /* the work's; the first is the run's own */
        run->stack = root;
    }
    return error;
}

static int copy_tree(int source, int target, uint64_t flags, int threads, int inodes, struct ok_copy_progress *progress,
                     char *where, size_t where_size)
{
    struct run run = {
        .context = {.progress = progress, .flags = flags, .privileged = geteuid() == 0},
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .work = PTHREAD_COND_INITIALIZER,
        .linked = PTHREAD_COND_INITIALIZER,
        .where = where,
        .where_size = where_size,
    };

    if (where_size)
        where[0] = 0;
    if (threads <= 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        threads = processors < 1 ? 1 : processors > 4 ? 4 : (int)processors;
    }
    int error = open_root(&run, source, target);
    if (!error)
        error = start_and_wait(&run, threads > MAX_THREADS ? MAX_THREADS : threads);
    if (error && !run.error)
        run.error = error;
    if (run.root) {
        discard(&run);
        apply_late_modes(&run);
        if (run.root->source >= 0)
            close(run.root->source);
        if (run.root->target >= 0)
            close(run.root->target);
        node_unref(run.root);
    }
    if (!run.error && inodes >= 0)
        run.error = write_pairs(&run, inodes);
    free(run.pairs.list);
    pthread_mutex_destroy(&run.lock);
    pthread_cond_destroy(&run.work);
    pthread_cond_destroy(&run.linked);
    return run.error;
}

/* A copy in another process. */
struct remote {
    int source, target, threads, inodes;
    uint64_t flags;
    struct ok_copy_progress progress, *caller;
    size_t where_size;
    char where[];
};

static int copy_job(void *argument)
{
    struct remote *remote = argument;

    return copy_tree(remote->source, remote->target, remote->flags, remote->threads, remote->inodes,
                     &remote->progress, remote->where, remote->where_size);
}

static void copy_watch(void *argument)
{
    struct remote *remote = argument;
    int32_t cancel = __atomic_load_n(&remote->caller->cancel, __ATOMIC_RELAXED);

    __atomic_store_n(&remote->progress.cancel, cancel, __ATOMIC_RELAXED);
    *remote->caller = remote->progress;
    remote->caller->cancel = cancel;
}

static int copy_as_owner(int source, int target, uint64_t flags, int threads, int inodes,
                         struct ok_copy_progress *progress, char *where, size_t where_size)
{
    size_t size = sizeof(struct remote) + where_size;
    struct remote *remote = ok_owner_alloc(size);

    if (!remote)
        return -ENOMEM;
    *remote = (struct remote){.source = source, .target = target, .threads = threads, .inodes = inodes,
                              .flags = flags, .caller = progress, .where_size = where_size};
    int error = ok_run_as_owner(copy_job, copy_watch, remote);
    copy_watch(remote);
    if (where_size && remote->where[0])
        memcpy(where, remote->where, where_size);
    ok_owner_free(remote, size);
    return error;
}

int ok_copy_tree(int source, int target, uint64_t flags, int threads, int inodes, struct ok_copy_progress *progress,
                 char *where, size_t where_size)
{
    int error = copy_tree(source, target, flags, threads, inodes, progress, where, where_size);

    if (!ok_owner_may_help(error) || ok_empty_directory(target))
        return error;
    return copy_as_owner(source, target, flags, threads, inodes, progress, where, where_size);
}
