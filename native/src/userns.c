/*
 * A short-lived process in namespaces of its own that works in the caller's descriptor table.
 *
 * unshare(CLONE_NEWUSER) and setns() refuse a process with several threads. clone() does not: the new process has one thread,
 * whatever the caller has. With CLONE_FILES every descriptor that it opens is the caller's as well, so nothing needs to be sent.
 */
#include "overlaykit.h"
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK = 64 * 1024, GUARD = 4096, SIGSET = 8 };

struct run {
    int (*job)(void *);
    void *argument;
    int user;
    int own_memory;
    unsigned uid, gid;
    int step;
    int result;
};

int ok_needs_own_memory(void)
{
    return prctl(PR_GET_DUMPABLE) != 1;
}

void *ok_shared_alloc(unsigned long size, int own_memory)
{
    void *memory;

    if (!own_memory)
        return calloc(1, size); /* a mapping that is shared between processes costs far more */
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void ok_shared_free(void *memory, unsigned long size, int own_memory)
{
    if (!own_memory)
        free(memory);
    else if (memory)
        munmap(memory, size);
}

/* "0 ID 1": snprintf may take locks of the C library, so the number is written by hand. */
static int map_line(char *line, unsigned id)
{
    char digits[12];
    int count = 0, length = 2;

    line[0] = '0';
    line[1] = ' ';
    do
        digits[count++] = (char)('0' + id % 10);
    while (id /= 10);
    while (count)
        line[length++] = digits[--count];
    line[length++] = ' ';
    line[length++] = '1';
    return length;
}

static int write_file(const char *path, const char *text, int length)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    int error = 0;

    if (fd < 0)
        return -errno;
    if (syscall(SYS_write, fd, text, (size_t)length) != length)
        error = -errno;
    syscall(SYS_close, fd);
    return error;
}

int ok_map_ids(unsigned uid, unsigned gid)
{
    char line[32];
    int error;

    /* user_namespaces(7): an unprivileged process may map its group only after it gave up setgroups(). The file is
     * missing before Linux 3.19. */
    error = write_file("/proc/self/setgroups", "deny", 4);
    if (error && error != -ENOENT)
        return error;
    error = write_file("/proc/self/uid_map", line, map_line(line, uid));
    if (error)
        return error;
    return write_file("/proc/self/gid_map", line, map_line(line, gid));
}

static int child(void *argument)
{
    struct run *run = argument;
    int error = 0;

    /* /proc/self belongs to root in a process that is not dumpable, such as one that gave up privileges without an exec;
     * it could not write its own uid_map. Only memory of its own may be made dumpable: the caller's would be open to ptrace. */
    if (run->own_memory)
        syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (run->user) {
        error = ok_map_ids(run->uid, run->gid);
        if (error)
            run->step = OK_STEP_MAPPING;
    }
    run->result = error ? error : run->job(run->argument);
    syscall(SYS_exit, 0);
    __builtin_unreachable();
}

int ok_run_in_namespace(int user, int own_memory, int (*job)(void *), void *argument, int *step)
{
    struct run *run = ok_shared_alloc(sizeof *run, own_memory);
    char *stack;
    unsigned long long all = ~0ULL, before = 0;
    int flags = CLONE_VFORK | CLONE_FILES | CLONE_NEWNS, pid, result;

    if (!run)
        return -ENOMEM;
    stack = mmap(NULL, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        ok_shared_free(run, sizeof *run, own_memory);
        return -ENOMEM;
    }
    mprotect(stack, GUARD, PROT_NONE);
    run->job = job;
    run->argument = argument;
    run->user = user;
    run->uid = geteuid();
    run->gid = getegid();
    run->result = -ECHILD; /* stays if the process is killed before it is done */
    if (user)
        flags |= CLONE_NEWUSER;
    run->own_memory = own_memory;
    if (!run->own_memory)
        flags |= CLONE_VM;

    /* No handler of the caller may run in the new process, which shares its memory; the raw call also blocks the two signals
     * that the C library keeps for itself and sigprocmask() would leave open. */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, SIGSET);
    pid = clone(child, stack + STACK + GUARD, flags, run);
    if (pid < 0) {
        result = -errno;
        *step = OK_STEP_NAMESPACE;
    } else {
        /* No exit signal was asked for, so only __WCLONE sees it; a handler of SIGCHLD never does. ECHILD: the caller
         * collects with __WALL elsewhere; the result is in memory. */
        while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
            ;
        result = run->result;
        if (run->step)
            *step = run->step;
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, SIGSET);
    munmap(stack, STACK + GUARD);
    ok_shared_free(run, sizeof *run, own_memory);
    return result;
}

int ok_unshare_user(void)
{
    return unshare(CLONE_NEWUSER) ? -errno : 0;
}

int ok_join_user(int user_namespace)
{
    return setns(user_namespace, CLONE_NEWUSER) || unshare(CLONE_NEWNS) ? -errno : 0;
}
