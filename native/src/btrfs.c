#include "overlaykit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { SUBVOLUME_ROOT = 256 }; /* BTRFS_FIRST_FREE_OBJECTID */

int ok_btrfs(int fd)
{
    struct statfs system;

    return fstatfs(fd, &system) ? -errno : system.f_type == BTRFS_SUPER_MAGIC;
}

int ok_btrfs_is_subvolume(int fd)
{
    struct stat status;

    if (fstat(fd, &status))
        return -errno;
    return status.st_ino == SUBVOLUME_ROOT ? ok_btrfs(fd) : 0;
}

static int named(int fd, unsigned long request, int directory, const char *name)
{
    struct btrfs_ioctl_vol_args_v2 arguments = {.fd = fd};

    if (strlen(name) >= sizeof arguments.name)
        return -ENAMETOOLONG;
    strcpy(arguments.name, name);
    return ioctl(directory, request, &arguments) < 0 ? -errno : 0;
}

int ok_btrfs_create(int directory, const char *name)
{
    return named(0, BTRFS_IOC_SUBVOL_CREATE_V2, directory, name);
}

int ok_btrfs_snapshot(int source, int directory, const char *name)
{
    /* The kernel takes no O_PATH descriptor here. */
    int fd = openat(source, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int error = named(fd, BTRFS_IOC_SNAP_CREATE_V2, directory, name);
    close(fd);
    return error;
}

int ok_btrfs_delete(int directory, const char *name)
{
    struct btrfs_ioctl_vol_args arguments = {0};

    if (strlen(name) >= sizeof arguments.name)
        return -ENAMETOOLONG;
    strcpy(arguments.name, name);
    return ioctl(directory, BTRFS_IOC_SNAP_DESTROY, &arguments) < 0 ? -errno : 0;
}
