/* A file that the new process finds below the place; owners are ids of its own user namespace. */
struct ok_launch_file { const char *name; const char *data; size_t size; unsigned mode, uid, gid; };

/* Whether a descriptor is of something in an overlay. */
int ok_is_overlay(int fd);

/*
 * A program in namespaces of its own, in which a tmpfs covers the directory place. It holds the directory "rootfs" (a clone of
 * the mount or directory root, or with move_root that mount itself, without devices, where that is not -1), "mounts/N" (clones
 * of sources[N]), the files, "devices" for what the streams need, and the empty directory "state". hide, where it is not NULL, is
 * a directory that an empty tmpfs covers.
 *
 * user: begin with a user namespace in which the caller's user and group are 0. join, where it is not -1: a pidfd of a process
 * whose user, mount and process namespaces are entered; no place is made then.
 *
 * stdio are the program's standard streams; keep further descriptors that it inherits under their numbers, no other ones.
 * cgroups are descriptors of cgroup.procs files that the process writes itself into, which takes the kernel long. into, where it
 * is not -1, is the directory of a group of version 2 that it is born in, which does not (clone3(2), CLONE_INTO_CGROUP).
 */
struct ok_launch {
    const char *place, *hide;
    int root, move_root, join, user;
    const int *sources; size_t source_count;
    const struct ok_launch_file *files; size_t file_count;
    const int *cgroups; size_t cgroup_count;
    int into;
    int stdio[3];
    const int *keep; size_t keep_count;
    const char *program; char *const *arguments; char *const *environment;
    int step; size_t index; /* what failed: enum ok_launch_step */
};

enum ok_launch_step {
    OK_LAUNCH_NOTHING, OK_LAUNCH_CLONE, OK_LAUNCH_MAPPING, OK_LAUNCH_JOIN, OK_LAUNCH_PARENT, OK_LAUNCH_PROPAGATION,
    OK_LAUNCH_PLACE, OK_LAUNCH_ROOT, OK_LAUNCH_SOURCE, OK_LAUNCH_FILE, OK_LAUNCH_HIDE, OK_LAUNCH_PROC, OK_LAUNCH_CGROUP,
    OK_LAUNCH_STDIO, OK_LAUNCH_EXEC
};

/*
 * Starts it and returns its process id, or -errno. It is a child of the calling thread, the first process of its process
 * namespace and leader of a session; SIGKILL is sent to it when that thread ends, and takes all below it along.
 */
int ok_launch(struct ok_launch *launch);
