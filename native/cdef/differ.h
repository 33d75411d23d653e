/*
 * How two directory trees differ by their names and attributes, in tree order: a directory, then what is in it by the bytes of the
 * names. Records are one byte of OK_DIFFER_* flags and a NUL-terminated path each.
 */
#define OK_DIFFER_ADDED 1   /* only in the second tree; all that is below follows */
#define OK_DIFFER_DELETED 2 /* only in the first tree; what is below does not follow */
#define OK_DIFFER_TYPE 4    /* of another type; what is below a directory that it became follows as added */
#define OK_DIFFER_LOOK 8    /* not proven to be the same: to be looked at */
#define OK_DIFFER_LINKS 16  /* with OK_DIFFER_LOOK: its hard links differ, among the names that both trees have */

struct ok_differences {
    char *records; /* to be given to ok_differ_free */
    size_t size, room;
};

/*
 * An entry is the same where type, permissions, owner, size, device and modification time are equal and it is proven that it is the
 * very inode that was made of the first tree's, and untouched since: `inodes`, as ok_copy_tree wrote them, says which that is, and the
 * change time is in [begun, done). Without inodes (NULL), for a snapshot by the file system, inode number and change time are the first
 * tree's, and that is before `done`. The roots themselves are not compared.
 */
int ok_differ(int before, int after, int64_t begun, int64_t done, const uint64_t *inodes, size_t pairs,
              struct ok_differences *found, char *where, size_t where_size);
void ok_differ_free(struct ok_differences *found);
