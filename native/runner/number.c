/* Numbers as text, without the formatting functions of the C library, which make a static program several times as large. */
#include "job.h"

#include <string.h>

char *append_number(char *at, unsigned number)
{
    char digits[12];
    int count = 0;

    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *at++ = digits[--count];
    *at = 0;
    return at;
}

void name_descriptor(char name[FD_NAME], int fd)
{
    memcpy(name, "/proc/self/fd/", 15);
    append_number(name + 14, (unsigned)fd);
}
