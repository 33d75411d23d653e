/*
 * The native module. Rules for every function: a result >= 0 is success, a negative one is -errno; nothing is printed,
 * nothing exits, there is no global state; strings are NUL-terminated bytes and stay the caller's; cffi releases the GIL
 * around every call.
 */
#ifndef OVERLAYKIT_H
#define OVERLAYKIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../cdef/btrfs.h"
#include "../cdef/copy.h"
#include "../cdef/devices.h"
#include "../cdef/differ.h"
#include "../cdef/launch.h"
#include "../cdef/mount.h"
#include "../cdef/namespace.h"
#include "../cdef/open.h"
#include "../cdef/pack.h"
#include "../cdef/runner.h"
#include "../cdef/scan.h"
#include "../cdef/tar.h"

#endif
