/*
 * A program in namespaces of its own, made ready between clone(2) and execve(2).
 *
 * What happens there is done by a process that shares the caller's memory, while the calling thread waits for it: so it costs
 * no copy of the caller's page tables, and it must do system calls and nothing else (userns.h).
 */
#include "descriptors.h"
#include "overlaykit.h"
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x4
#endif
enum { STACK = 128 * 1024, GUARD = 4096, SIGSET = 8, NUMBER = 24, TREE_CLONE = 1, TREE_RECURSIVE = 0x8000, ATTR_NODEV = 4, OVERLAY = 0x794c7630 };

struct start {
    struct ok_launch *launch;
    int lifeline[2];
    unsigned uid, gid;
    int own_memory;
    char *stack; /* for a second process, where namespaces are joined */
    /* what comes back */
    int step, result, pid;
    size_t index;
};

static int failed(struct start *start, int step, size_t index, int error)
{
    start->step = step;
    start->index = index;
    return error;
}

static int last(long result)
{
    return result < 0 ? -errno : (int)result;
}

/* "PREFIX" and a number, without the C library's formatting, which may take locks. */
static const char *numbered(char *out, const char *prefix, size_t number)
{
    char digits[NUMBER];
    int count = 0;
    char *at = out;

    while (*prefix)
        *at++ = *prefix++;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *at++ = digits[--count];
    *at = '\0';
    return out;
}

/* A clone of what a descriptor shows. It may be in a mount attached nowhere, which Linux clones from 6.15 on; or in the namespace
 * that was left, where only its path leads to our copy of its mount; or a detached mount of an older kernel, which is moved. */
static int clone_mount(int source)
{
    char link[sizeof "/proc/self/fd/" + NUMBER], path[4096];
    struct stat wanted, found;
    int fd = last(syscall(SYS_open_tree, source, "", TREE_CLONE | TREE_RECURSIVE | O_CLOEXEC | AT_EMPTY_PATH));
    long length;

    if (fd != -EINVAL)
        return fd;
    length = syscall(SYS_readlinkat, AT_FDCWD, numbered(link, "/proc/self/fd/", (size_t)source), path, sizeof path - 1);
    if (length > 0 && path[0] == '/') {
        path[length] = '\0';
        if (fstat(source, &wanted) == 0 && lstat(path, &found) == 0 && wanted.st_ino == found.st_ino &&
            wanted.st_dev == found.st_dev)
            return last(syscall(SYS_open_tree, AT_FDCWD, path, TREE_CLONE | TREE_RECURSIVE | O_CLOEXEC | AT_SYMLINK_NOFOLLOW));
    }
    return last(syscall(SYS_fcntl, source, F_DUPFD_CLOEXEC, 0));
}

static int show(int source, const char *path, int move)
{
    struct stat status;
    int fd, error;

    if (fstat(source, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode)) {
        error = last(syscall(SYS_mkdirat, AT_FDCWD, path, 0700));
    } else {
        error = last(syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        if (error >= 0)
            syscall(SYS_close, error);
    }
    if (error < 0)
        return error;
    fd = move ? last(syscall(SYS_fcntl, source, F_DUPFD_CLOEXEC, 0)) : clone_mount(source);
    if (fd < 0)
        return fd;
    error = last(syscall(SYS_move_mount, fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH));
    syscall(SYS_close, fd);
    return error;
}

/* Device nodes in it are not to be opened, whoever made them: a container's devices are in its /dev. */
static int show_root(int root, int move)
{
    struct { uint64_t set, clear, propagation, userns; } attributes = {.set = ATTR_NODEV};
    int error = show(root, "rootfs", move);

    return error ? error : last(syscall(SYS_mount_setattr, AT_FDCWD, "rootfs", 0, &attributes, sizeof attributes));
}

static int put_file(const struct ok_launch_file *file)
{
    int fd = last(syscall(SYS_openat, AT_FDCWD, file->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    size_t done = 0;
    int error = 0;

    if (fd < 0)
        return fd;
    while (!error && done < file->size) {
        long count = syscall(SYS_write, fd, file->data + done, file->size - done);
        if (count < 0)
            error = -errno;
        else
            done += (size_t)count;
    }
    if (!error && (file->uid || file->gid))
        error = last(syscall(SYS_fchown, fd, file->uid, file->gid));
    if (!error)
        error = last(syscall(SYS_fchmod, fd, file->mode));
    syscall(SYS_close, fd);
    return error;
}

static int make_place(struct start *start)
{
    static const char *const directories[] = {"files", "mounts", "state", "devices"};
    const struct ok_launch *launch = start->launch;
    char path[sizeof "mounts/" + NUMBER];
    int error = last(syscall(SYS_mount, "none", "/", NULL, MS_REC | MS_SLAVE, NULL));

    if (error)
        return failed(start, OK_LAUNCH_PROPAGATION, 0, error);
    error = last(syscall(SYS_mount, "overlaykit", launch->place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700"));
    if (!error)
        error = last(syscall(SYS_chdir, launch->place));
    for (size_t n = 0; !error && n < sizeof directories / sizeof *directories; n++)
        error = last(syscall(SYS_mkdirat, AT_FDCWD, directories[n], 0700));
    if (error)
        return failed(start, OK_LAUNCH_PLACE, 0, error);
    error = launch->root < 0 ? 0 : show_root(launch->root, launch->move_root);
    if (error)
        return failed(start, OK_LAUNCH_ROOT, 0, error);
    for (size_t n = 0; n < launch->source_count; n++) {
        error = show(launch->sources[n], numbered(path, "mounts/", n), 0);
        if (error)
            return failed(start, OK_LAUNCH_SOURCE, n, error);
    }
    for (size_t n = 0; n < launch->file_count; n++) {
        error = put_file(&launch->files[n]);
        if (error)
            return failed(start, OK_LAUNCH_FILE, n, error);
    }
    if (launch->hide) {
        error = last(syscall(SYS_mount, "none", launch->hide, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0555"));
        if (error)
            return failed(start, OK_LAUNCH_HIDE, 0, error);
    }
    error = last(syscall(SYS_mount, "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    return error ? failed(start, OK_LAUNCH_PROC, 0, error) : 0;
}

/* What is caught becomes the default, as execve(2) would make it, before anything may be delivered: a handler of the caller must
 * not run here. Python ignores SIGPIPE and SIGXFSZ for itself alone. */
static void reset_signals(void)
{
    unsigned long long none = 0;

    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) < 0 || action.sa_handler == SIG_DFL)
            continue;
        if (action.sa_handler == SIG_IGN && number != SIGPIPE && number != SIGXFSZ)
            continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
        sigaction(number, &action, NULL);
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SIGSET);
}

static int become(struct start *start)
{
    const struct ok_launch *launch = start->launch;
    struct pollfd parent = {.fd = start->lifeline[0], .events = POLLIN};
    struct timespec now = {0, 0};
    int error;

    /* A parent that ended before this has let go of its end of the pipe by then: see do_exit() in the kernel. */
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    syscall(SYS_close, start->lifeline[1]);
    if (syscall(SYS_ppoll, &parent, 1, &now, NULL, SIGSET) != 0)
        return failed(start, OK_LAUNCH_PARENT, 0, -ESRCH);
    syscall(SYS_setsid);
    for (size_t n = 0; n < launch->cgroup_count; n++)
        if (syscall(SYS_write, launch->cgroups[n], "0", 1) < 0)
            return failed(start, OK_LAUNCH_CGROUP, n, -errno);
    if (launch->join < 0) {
        error = make_place(start);
        if (error)
            return error;
    }
    error = ok_set_descriptors(launch->stdio, launch->keep, launch->keep_count, launch->join < 0 ? "devices" : NULL);
    if (error)
        return failed(start, OK_LAUNCH_STDIO, 0, error);
    reset_signals();
    syscall(SYS_execve, launch->program, launch->arguments, launch->environment);
    return failed(start, OK_LAUNCH_EXEC, 0, -errno);
}

static void end(struct start *start, int error)
{
    start->result = error;
    syscall(SYS_exit, 127);
    __builtin_unreachable();
}

static int child(void *argument)
{
    struct start *start = argument;
    int error = 0;

    if (start->own_memory)
        syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (start->launch->user) {
        error = ok_map_ids(start->uid, start->gid);
        if (error)
            failed(start, OK_LAUNCH_MAPPING, 0, error);
    }
    end(start, error ? error : become(start));
    return 0;
}

static int grandchild(void *argument)
{
    struct start *start = argument;

    end(start, become(start));
    return 0;
}

/* The C library has no clone3(2). Where the processor is known, the new process begins in child() on the stack that it is given, as
 * with clone(2); elsewhere it goes on from here, in memory of its own. */
#if defined(__x86_64__) || defined(__aarch64__)
enum { OWN_STACK = 1 };

static long clone_at(struct clone_args *arguments, int (*begin)(void *), void *argument)
{
#if defined(__x86_64__)
    register long result __asm__("rax") = SYS_clone3;
    register int (*function)(void *) __asm__("r12") = begin;
    register void *parameter __asm__("r13") = argument;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "hlt\n"
                     "1:"
                     : "+r"(result)
                     : "D"(arguments), "S"(sizeof *arguments), "r"(function), "r"(parameter)
                     : "rcx", "r11", "memory", "cc");
#else
    register long result __asm__("x0") = (long)arguments;
    register long size __asm__("x1") = sizeof *arguments;
    register long number __asm__("x8") = SYS_clone3;
    register int (*function)(void *) __asm__("x20") = begin;
    register void *parameter __asm__("x21") = argument;

    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, x21\n\t"
                     "blr x20\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(result)
                     : "r"(size), "r"(number), "r"(function), "r"(parameter)
                     : "memory", "cc");
#endif
    return result;
}
#else
enum { OWN_STACK = 0 };

static long clone_at(struct clone_args *arguments, int (*begin)(void *), void *argument)
{
    long result;

    arguments->stack = arguments->stack_size = 0;
    result = syscall(SYS_clone3, arguments, sizeof *arguments);
    if (result == 0)
        begin(argument);
    return result < 0 ? -errno : result;
}
#endif

static int clone_into(struct start *start, char *stack, int flags)
{
    struct clone_args arguments = {
        .flags = (uint64_t)(flags & ~CSIGNAL) | CLONE_INTO_CGROUP,
        .exit_signal = (uint64_t)(flags & CSIGNAL),
        .stack = (uint64_t)(uintptr_t)stack + GUARD,
        .stack_size = STACK,
        .cgroup = (uint64_t)start->launch->into,
    };
    long pid = clone_at(&arguments, child, start);

    if (pid < 0)
        errno = (int)-pid;
    return pid < 0 ? -1 : (int)pid;
}

/* A process namespace that is joined holds the children alone: so a second process, whose parent is the first one's. */
static int joiner(void *argument)
{
    struct start *start = argument;
    int flags = CLONE_NEWNS | CLONE_NEWPID | (start->launch->user ? CLONE_NEWUSER : 0);
    int clone_flags = CLONE_VFORK | CLONE_PARENT | (start->own_memory ? 0 : CLONE_VM) | SIGCHLD;
    int error = last(syscall(SYS_setns, start->launch->join, flags));

    if (error)
        end(start, failed(start, OK_LAUNCH_JOIN, 0, error));
    start->pid = clone(grandchild, start->stack + STACK + GUARD, clone_flags, start);
    if (start->pid < 0)
        end(start, failed(start, OK_LAUNCH_CLONE, 0, -errno));
    syscall(SYS_exit, 0);
    return 0;
}

static char *new_stack(void)
{
    char *stack = mmap(NULL, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    if (stack == MAP_FAILED)
        return NULL;
    mprotect(stack, GUARD, PROT_NONE);
    return stack;
}

static int run(struct start *start, char *stack)
{
    struct ok_launch *launch = start->launch;
    unsigned long long all = ~0ULL, before = 0;
    int joins = launch->join >= 0, flags = CLONE_VFORK | (start->own_memory ? 0 : CLONE_VM), pid, result = 0;

    if (!joins)
        flags |= SIGCHLD | CLONE_NEWNS | CLONE_NEWPID | (launch->user ? CLONE_NEWUSER : 0);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, SIGSET);
    pid = launch->into >= 0 && !joins ? clone_into(start, stack, flags)
                                      : clone(joins ? joiner : child, stack + STACK + GUARD, flags, start);
    if (pid < 0)
        result = failed(start, OK_LAUNCH_CLONE, 0, -errno);
    else if (joins) {
        while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
            ;
        pid = start->pid;
    }
    if (!result && start->step) {
        if (pid > 0)
            /* One that joined has the exit signal of the process between, none, until it executes something. */
            while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
                ;
        result = start->result;
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, SIGSET);
    launch->step = start->step;
    launch->index = start->index;
    return result ? result : pid;
}

int ok_is_overlay(int fd)
{
    struct statfs status;

    return fstatfs(fd, &status) < 0 ? -errno : status.f_type == OVERLAY;
}

int ok_launch(struct ok_launch *launch)
{
    int own_memory = ok_needs_own_memory() || (launch->into >= 0 && !OWN_STACK), result = -ENOMEM;
    struct start *start = ok_shared_alloc(sizeof *start, own_memory);
    char *first = new_stack(), *second = launch->join < 0 ? NULL : new_stack();

    launch->step = OK_LAUNCH_CLONE;
    if (start && first && (second || launch->join < 0)) {
        start->launch = launch;
        start->own_memory = own_memory;
        start->stack = second;
        start->uid = geteuid();
        start->gid = getegid();
        if (pipe2(start->lifeline, O_CLOEXEC) < 0) {
            result = -errno;
        } else {
            result = run(start, first);
            close(start->lifeline[0]);
            close(start->lifeline[1]);
        }
    }
    if (first)
        munmap(first, STACK + GUARD);
    if (second)
        munmap(second, STACK + GUARD);
    ok_shared_free(start, sizeof *start, own_memory);
    return result;
}
