/* Listing a directory below a root. */
#include "root.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct record { /* struct linux_dirent64, which no header declares */
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static int grow(struct ok_listing *listing, size_t *entries, size_t *bytes, size_t name_size)
{
    if (listing->count == *entries) {
        size_t more = *entries * 2;
        uint64_t *inodes = realloc(listing->inodes, more * sizeof *inodes);
        if (!inodes)
            return -ENOMEM;
        listing->inodes = inodes;
        uint8_t *types = realloc(listing->types, more);
        if (!types)
            return -ENOMEM;
        listing->types = types;
        *entries = more;
    }
    while (listing->size + name_size > *bytes) {
        char *names = realloc(listing->names, *bytes * 2);
        if (!names)
            return -ENOMEM;
        listing->names = names;
        *bytes *= 2;
    }
    return 0;
}

static int add_record(int fd, struct ok_listing *listing, size_t *entries, size_t *bytes, const struct record *record)
{
    size_t size = strlen(record->name) + 1;
    struct stat status;
    uint8_t type = record->type;
    int result;

    if (is_dots(record->name, size - 1))
        return 0;
    if (type == DT_UNKNOWN) {
        if (fstatat(fd, record->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            return errno == ENOENT ? 0 : -errno;
        type = (uint8_t)((status.st_mode & S_IFMT) >> 12);
    }
    result = grow(listing, entries, bytes, size);
    if (result < 0)
        return result;
    memcpy(listing->names + listing->size, record->name, size);
    listing->types[listing->count] = type;
    listing->inodes[listing->count] = record->inode;
    listing->size += size;
    listing->count++;
    return 0;
}

static int list_directory(int fd, struct ok_listing *listing)
{
    size_t entries = 64, bytes = 2048, size = 1 << 15;
    char *buffer = malloc(size);
    long got = 0;
    int result = 0;

    listing->names = malloc(bytes);
    listing->types = malloc(entries);
    listing->inodes = malloc(entries * sizeof *listing->inodes);
    if (!buffer || !listing->names || !listing->types || !listing->inodes)
        result = -ENOMEM;
    while (result == 0) {
        do
            got = syscall(SYS_getdents64, fd, buffer, size);
        while (got < 0 && errno == EINTR);
        if (got <= 0) {
            result = answer(got);
            break;
        }
        for (long position = 0; position < got && result == 0;) {
            const struct record *record = (const struct record *)(const void *)(buffer + position);
            result = add_record(fd, listing, &entries, &bytes, record);
            position += record->length;
        }
    }
    free(buffer);
    return result;
}

int ok_root_list(struct ok_root *root, const char *path, struct ok_listing *out)
{
    int fd, result;

    memset(out, 0, sizeof *out);
    fd = ok_root_open(root, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    result = list_directory(fd, out);
    close(fd);
    if (result < 0)
        ok_listing_free(out);
    return result;
}

void ok_listing_free(struct ok_listing *listing)
{
    free(listing->names);
    free(listing->types);
    free(listing->inodes);
    memset(listing, 0, sizeof *listing);
}
