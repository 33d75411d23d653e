/* Opening below a directory without leaving it; openat2(2). Returns a descriptor or -errno. */
int ok_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
