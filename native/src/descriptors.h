#ifndef OVERLAYKIT_DESCRIPTORS_H
#define OVERLAYKIT_DESCRIPTORS_H

#include <stddef.h>

/*
 * Makes 0, 1 and 2 of any descriptors, and of a negative one /dev/null; of the others a program inherits what is kept. Does
 * system calls alone. Devices of the machine come as devices of their own, where one can be made: see descriptors.c. Their file
 * systems are attached to the directory place, where it is not NULL: then nothing waits for them to be dissolved.
 */
int ok_set_descriptors(const int stdio[3], const int *keep, size_t keep_count, const char *place);

#endif
