/* A mount namespace of a thread's own, and what is mounted in it at a path. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "overlaykit.h"

int ok_own_mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0)
        return -errno;
    return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? -errno : 0;
}

int ok_mount_memory(const char *path, int mode)
{
    char options[64];

    snprintf(options, sizeof(options), "mode=%o,uid=%u,gid=%u", (unsigned)mode & 07777, geteuid(), getegid());
    return mount("overlaykit", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0 ? -errno : 0;
}

int ok_detach(const char *path)
{
    return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}
