#include "overlaykit.h"

#include <errno.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

int ok_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    long fd;

    /* EAGAIN: a rename or mount elsewhere raced with "..": the kernel could not prove that the walk stayed inside and
     * asks for another try (openat2(2), RESOLVE_IN_ROOT). */
    int tries = 64;
    do
        fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || (errno == EAGAIN && --tries > 0)));
    return fd < 0 ? -errno : (int)fd;
}
