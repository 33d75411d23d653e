/*
 * What a container costs in bare system calls: mkdir, mount over five layers with volatile, close, rmdir. Run by
 * bench_overlayfs.py.
 *
 * usage: overlayfs_floor DIRECTORY COUNT; DIRECTORY holds layer0 to layer4. Prints nanoseconds, one line a round.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SET_FLAG = 0, SET_STRING = 1, CMD_CREATE = 6, LAYERS = 5 };

static void check(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void set(int context, const char *key, const char *value)
{
    check(syscall(SYS_fsconfig, context, SET_STRING, key, value, 0), key);
}

static int mount_overlay(void)
{
    char layer[16];
    int context = (int)syscall(SYS_fsopen, "overlay", 1), mount;

    check(context, "fsopen");
    for (int number = LAYERS - 1; number >= 0; number--) {
        snprintf(layer, sizeof layer, "layer%d", number);
        set(context, "lowerdir+", layer);
    }
    set(context, "upperdir", "box/upper");
    set(context, "workdir", "box/work");
    check(syscall(SYS_fsconfig, context, SET_FLAG, "volatile", NULL, 0), "volatile");
    check(syscall(SYS_fsconfig, context, CMD_CREATE, NULL, NULL, 0), "create");
    mount = (int)syscall(SYS_fsmount, context, 1, 0);
    check(mount, "fsmount");
    close(context);
    return mount;
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    check(chdir(arguments[1]), "chdir");
    for (int round = atoi(arguments[2]); round > 0; round--) {
        long start = now();
        check(mkdir("box", 0700), "mkdir");
        check(mkdir("box/upper", 0755), "mkdir");
        check(mkdir("box/work", 0700), "mkdir");
        close(mount_overlay());
        check(unlink("box/work/work/incompat/volatile/dirty"), "unlink");
        check(rmdir("box/work/work/incompat/volatile"), "rmdir");
        check(rmdir("box/work/work/incompat"), "rmdir");
        check(rmdir("box/work/work"), "rmdir");
        check(rmdir("box/work"), "rmdir");
        check(rmdir("box/upper"), "rmdir");
        check(rmdir("box"), "rmdir");
        printf("%ld\n", now() - start);
    }
    return 0;
}
