/* Btrfs subvolumes; see ioctl(2) and <linux/btrfs.h>. Names are single names in `directory`. */
/* 1 where `fd` is on Btrfs, else 0. */
int ok_btrfs(int fd);
/* 1 where `fd` is the root of a Btrfs subvolume, else 0. */
int ok_btrfs_is_subvolume(int fd);
int ok_btrfs_create(int directory, const char *name);
/* A writable snapshot of the subvolume `source`: nothing is copied. */
int ok_btrfs_snapshot(int source, int directory, const char *name);
/* -EPERM for an unprivileged caller unless the mount has user_subvol_rm_allowed. */
int ok_btrfs_delete(int directory, const char *name);
