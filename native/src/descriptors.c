/*
 * What descriptors a program begins with.
 *
 * Runtimes give the standard streams to the container's user (fchown(2)), so that it can open them once more by /dev/stdout:
 * with /dev/null among them, the machine's would be that user's, who could then close it to everybody. So devices, but for
 * terminals, which runtimes leave alone, are made anew in a file system that nothing but the descriptor holds.
 */
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x4
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
enum { SET_CLOEXEC = 4, FSOPEN_CLOSE_ON_EXEC = 1, CONFIG_CREATE = 6, FSMOUNT_CLOSE_ON_EXEC = 1 };

static int last(long result)
{
    return result < 0 ? -errno : (int)result;
}

/* A descriptor of a device of its own, or what is wrong: without privileges none can be made, and none given away either. */
static int make_device(const struct stat *like, int access, const char *place)
{
    int context = last(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOSE_ON_EXEC)), mount, fd;

    if (context < 0)
        return context;
    mount = last(syscall(SYS_fsconfig, context, CONFIG_CREATE, NULL, NULL, 0));
    if (mount == 0)
        mount = last(syscall(SYS_fsmount, context, FSMOUNT_CLOSE_ON_EXEC, 0));
    syscall(SYS_close, context);
    if (mount < 0)
        return mount;
    fd = last(syscall(SYS_mknodat, mount, "device", (like->st_mode & (S_IFMT | 0777)), (unsigned)like->st_rdev));
    if (fd == 0)
        fd = last(syscall(SYS_openat, mount, "device", access | O_CLOEXEC, 0));
    if (fd >= 0)
        syscall(SYS_fchmod, fd, like->st_mode & 0777); /* whatever the umask */
    /* One that is attached nowhere is dissolved when it is closed, with a wait for all processors (RCU). */
    if (place)
        syscall(SYS_move_mount, mount, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH);
    syscall(SYS_close, mount);
    return fd;
}

static int own_device(int fd, const char *place)
{
    struct stat seen;
    char terminal[64]; /* the kernel's struct termios has 36 bytes, and the library's more */
    int access;

    if (fstat(fd, &seen) < 0 || !S_ISCHR(seen.st_mode) || ioctl(fd, TCGETS, terminal) == 0)
        return -ENOTTY;
    access = last(syscall(SYS_fcntl, fd, F_GETFL));
    return access < 0 ? access : make_device(&seen, access & O_ACCMODE, place);
}

int ok_set_descriptors(const int stdio[3], const int *keep, size_t keep_count, const char *place)
{
    int held[3];

    for (int n = 0; n < 3; n++) {
        int fd = stdio[n], null = -1, own;
        if (fd < 0) {
            fd = null = last(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0));
            if (null < 0)
                return null;
        }
        own = own_device(fd, place);
        held[n] = last(syscall(SYS_fcntl, own < 0 ? fd : own, F_DUPFD_CLOEXEC, 3));
        if (own >= 0)
            syscall(SYS_close, own);
        if (null >= 0)
            syscall(SYS_close, null);
        if (held[n] < 0)
            return held[n];
    }
    for (int n = 0; n < 3; n++) {
        int error = last(syscall(SYS_dup3, held[n], n, 0));
        if (error < 0)
            return error;
    }
    if (syscall(SYS_close_range, 3U, ~0U, SET_CLOEXEC) < 0)
        return -errno;
    for (size_t n = 0; n < keep_count; n++)
        if (syscall(SYS_fcntl, keep[n], F_SETFD, 0) < 0)
            return -errno;
    return 0;
}
