#include "tar.h"

#include <string.h>

int tar_number(const uint8_t *field, size_t size, int64_t *value)
{
    if (field[0] & 0x80) {
        /* GNU's base 256: two's complement, the first bit of the field set aside. */
        int negative = (field[0] & 0x40) != 0;
        uint64_t number = negative ? UINT64_MAX : 0;
        for (size_t i = 0; i < size; i++) {
            uint8_t byte = field[i];
            if (i == 0)
                byte = negative ? byte | 0x80 : byte & 0x7f;
            if ((number >> 55) != (negative ? (UINT64_MAX >> 55) : 0))
                return -1;
            number = (number << 8) | byte;
        }
        if (((number >> 63) != 0) != negative)
            return -1;
        *value = (int64_t)number;
        return 0;
    }
    size_t i = 0;
    while (i < size && (field[i] == ' ' || field[i] == '\0'))
        i++;
    int64_t number = 0;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
        if (number > (INT64_MAX >> 3))
            return -1;
        number = number * 8 + (field[i] - '0');
    }
    for (; i < size; i++)
        if (field[i] != ' ' && field[i] != '\0')
            return -1;
    *value = number;
    return 0;
}

static int decimal(const char *text, size_t size, int64_t *value)
{
    size_t i = 0;
    int negative = size > 0 && text[0] == '-';
    i += (size_t)negative;
    if (i == size)
        return -1;
    int64_t number = 0;
    for (; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || number > (INT64_MAX - 9) / 10)
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    *value = negative ? -number : number;
    return 0;
}

/* Seconds with a fraction, rounded down as pax wants it: -0.5 is second -1 and half a billion nanoseconds. */
static int moment(const char *text, size_t size, int64_t *seconds, uint32_t *nsec)
{
    const char *dot = memchr(text, '.', size);
    size_t whole = dot ? (size_t)(dot - text) : size;
    int negative = size > 0 && text[0] == '-';
    uint32_t fraction = 0, scale = 100000000;
    int rest = 0;
    if (decimal(text, whole, seconds))
        return -1;
    for (size_t i = whole + 1; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        uint32_t digit = (uint32_t)(text[i] - '0');
        fraction += digit * scale;
        if (scale == 0 && digit)
            rest = 1;
        scale /= 10;
    }
    if (negative && rest)
        fraction++;
    if (negative && fraction) {
        *seconds -= 1;
        fraction = 1000000000 - fraction;
    }
    *nsec = fraction;
    return 0;
}

static int is(const char *key, size_t size, const char *wanted)
{
    return strlen(wanted) == size && memcmp(key, wanted, size) == 0;
}

static int one_record(const char *key, size_t key_size, const char *value, size_t size, struct tar_extra *extra)
{
    if (is(key, key_size, "path") || is(key, key_size, "linkpath")) {
        int path = key_size == 4;
        if (size == 0) /* an empty value takes back what a global header says */
            return extra->complex = 1, 0;
        if (memchr(value, '\0', size))
            return OK_TAR_FAULT_NAME;
        if (path)
            extra->path = value, extra->path_size = size, extra->has |= TAR_HAS_PATH;
        else
            extra->link = value, extra->link_size = size, extra->has |= TAR_HAS_LINK;
        return 0;
    }
    int64_t *number = NULL;
    unsigned bit = 0;
    if (is(key, key_size, "size"))
        number = &extra->size, bit = TAR_HAS_SIZE;
    else if (is(key, key_size, "uid"))
        number = &extra->uid, bit = TAR_HAS_UID;
    else if (is(key, key_size, "gid"))
        number = &extra->gid, bit = TAR_HAS_GID;
    if (number) {
        if (size == 0)
            return extra->complex = 1, 0;
        if (decimal(value, size, number) || *number < 0)
            return OK_TAR_FAULT_NUMBER;
        extra->has |= bit;
        return 0;
    }
    if (is(key, key_size, "mtime")) {
        if (size == 0)
            return extra->complex = 1, 0;
        if (moment(value, size, &extra->seconds, &extra->nsec))
            return OK_TAR_FAULT_NUMBER;
        extra->has |= TAR_HAS_TIME;
        return 0;
    }
    if (is(key, key_size, "atime") || is(key, key_size, "ctime") || is(key, key_size, "uname") ||
        is(key, key_size, "gname") || is(key, key_size, "comment") || is(key, key_size, "hdrcharset") ||
        is(key, key_size, "charset") || is(key, key_size, "LIBARCHIVE.creationtime"))
        return 0;
    extra->complex = 1;
    return 0;
}

int tar_pax(const uint8_t *data, size_t size, struct tar_extra *extra)
{
    const char *text = (const char *)data;
    size_t at = 0;
    while (at < size) {
        size_t length = 0, i = at;
        for (; i < size && text[i] >= '0' && text[i] <= '9'; i++) {
            if (length > size)
                return OK_TAR_FAULT_PAX;
            length = length * 10 + (size_t)(text[i] - '0');
        }
        /* "LENGTH KEY=VALUE\n", LENGTH counting all of it */
        if (i == at || i == size || text[i] != ' ' || length > size - at || length < i - at + 4 ||
            text[at + length - 1] != '\n')
            return OK_TAR_FAULT_PAX;
        const char *key = text + i + 1, *end = text + at + length - 1;
        const char *equals = memchr(key, '=', (size_t)(end - key));
        if (!equals || equals == key)
            return OK_TAR_FAULT_PAX;
        int fault = one_record(key, (size_t)(equals - key), equals + 1, (size_t)(end - equals - 1), extra);
        if (fault)
            return fault;
        at += length;
    }
    return 0;
}
