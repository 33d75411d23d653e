/*
 * Detached mounts: mounts that are attached nowhere, known by a descriptor of their root alone.
 *
 * ok_mount_result tells what a failing call was at: one of the OK_STEP_* and, for OK_STEP_LOWER, the index of the layer; and
 * what the kernel's file system context had to say, an empty string where it said nothing.
 */
#define OK_MOUNT_VOLATILE 1
#define OK_MOUNT_USERXATTR 2
#define OK_MOUNT_READONLY 4
#define OK_MOUNT_ROOTLESS 8
#define OK_MOUNT_PAIR 16
#define OK_MOUNT_WRITABLE 32

#define OK_METHOD_AUTO 0
#define OK_METHOD_FD 1
#define OK_METHOD_STRING 2
#define OK_METHOD_CLASSIC 3

#define OK_STEP_NONE 0
#define OK_STEP_NAMESPACE 1
#define OK_STEP_MAPPING 2
#define OK_STEP_CONTEXT 3
#define OK_STEP_LOWER 4
#define OK_STEP_UPPER 5
#define OK_STEP_WORK 6
#define OK_STEP_OPTION 7
#define OK_STEP_CREATE 8
#define OK_STEP_MOUNT 9
#define OK_STEP_CLONE 10
#define OK_STEP_READONLY 11

struct ok_mount_result {
    int step;
    int index;
    int readonly; /* with OK_MOUNT_PAIR: a read-only second view of the same mount, or -1 */
    int method;   /* the OK_METHOD_* that was used */
    char message[256];
};

/* lowers: the layers, uppermost first, each NUL-terminated, then an empty string. upper and work: both or neither. Returns a
 * descriptor of the merged root. */
int ok_overlay_mount(const char *lowers, const char *upper, const char *work, int flags, int method,
                     struct ok_mount_result *result);
/* A detached clone of a directory. flags: OK_MOUNT_READONLY, OK_MOUNT_ROOTLESS. directory: AT_FDCWD, or a descriptor that path
 * (then "") is relative to. */
int ok_clone_directory(int directory, const char *path, int flags, struct ok_mount_result *result);
/* Makes a detached mount read-only, -EBUSY while a file in it is open for writing; or with OK_MOUNT_WRITABLE writable again. flags:
 * OK_MOUNT_ROOTLESS, OK_MOUNT_WRITABLE. */
int ok_set_readonly(int mount, int flags, struct ok_mount_result *result);
/* Attaches a detached mount at a path; move_mount(2). */
int ok_attach(int mount, const char *path);
/* 1 where the calling thread has CAP_SYS_ADMIN effective, else 0. */
int ok_is_mount_admin(void);
/* syncfs(2). */
int ok_syncfs(int fd);

/* Move the calling process, which must have one thread, into a new user namespace without a mapping of ids. */
int ok_unshare_user(void);
/* Move it into the user namespace of a descriptor (/proc/PID/ns/user), and into a new mount namespace. */
int ok_join_user(int user_namespace);
