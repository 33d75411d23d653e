
/* Gives the calling thread, and what it starts from now on, a mount namespace of its own: what is mounted outside still appears in
 * it, what is mounted in it appears nowhere else and is gone with the last process in it. */
int ok_own_mounts(void);
/* Mounts an empty file system in memory at a directory; its root belongs to the caller and has the permission bits `mode`. */
int ok_mount_memory(const char *path, int mode);
/* Takes the uppermost mount off a path; what is open in it stays usable. umount2(2) with MNT_DETACH. */
int ok_detach(const char *path);
