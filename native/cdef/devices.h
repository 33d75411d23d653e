/* Which devices the processes of a cgroup of the second version may open or make: a rule allows, what no rule allows is EPERM. */
#define OK_DEVICE_MKNOD 1
#define OK_DEVICE_READ 2
#define OK_DEVICE_WRITE 4

struct ok_device_rule {
    int block;        /* else a character device */
    int access;       /* OK_DEVICE_* */
    int major, minor; /* -1 for any */
};

/* cgroup: a descriptor of its directory. */
int ok_guard_devices(int cgroup, const struct ok_device_rule *rules, int count);
