/*
 * Loaded before the C library, this makes file calls below one folder hang or fail.
 *
 * FAULTY_FILES_ROOT names the folder, FAULTY_FILES_CONTROL a file outside it that every process
 * maps: the test writes there what is to happen, and reads there what has happened. `__init__.py`
 * beside this file has the same struct and says what each field means.
 *
 * While all is well a call costs one look at that memory. While something is broken the path of a
 * descriptor is read from /proc/self/fd, so that it does not matter who has opened it, and how.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

enum { PATH = 1, DESCRIPTOR = 2, WRITE = 4, OPEN = 8 }; /* what a call is */
enum { WELL = 0, HANG = -1 };                           /* modes; any other is an errno */

struct control {
    int32_t mode, calls; /* calls: which are struck, any of the bits above */
    int64_t after;       /* calls that still pass */
    int64_t times;       /* calls that are struck before all is well again; -1 for no end */
    int64_t struck;      /* calls that were struck */
    int64_t held;        /* calls that hang now */
    char match[256];     /* only paths with this text in them */
};

static volatile struct control *control;
static char root[PATH_MAX];

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("FAULTY_FILES_ROOT"), *file = getenv("FAULTY_FILES_CONTROL");
    if (!folder || !file || strlen(folder) >= sizeof root) return;
    int handle = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
    if (handle < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    syscall(SYS_close, handle);
    if (mapped == MAP_FAILED) return;
    strcpy(root, folder);
    control = mapped;
}

/* Resolve ".", ".." and doubled slashes of an absolute path, in place. */
static void normalize(char *path) {
    char *out = path, *part = path;
    while (*part) {
        while (*part == '/') part++;
        size_t length = strcspn(part, "/");
        if (length == 2 && !strncmp(part, "..", 2)) {
            while (out > path && *--out != '/') continue;
        } else if (length && !(length == 1 && *part == '.')) {
            *out++ = '/';
            memmove(out, part, length);
            out += length;
        }
        part += length;
    }
    *out = 0;
}

static int below(const char *path) {
    size_t length = strlen(root);
    return !strncmp(path, root, length) && (path[length] == '/' || path[length] == 0) &&
           strstr(path + length, (const char *)control->match) != NULL;
}

/* Let a call that is struck hang, or return the error that it must fail with; 0 lets it pass. */
static int strike(int kind) {
    int mode = control->mode;
    if (mode == WELL || !(control->calls & kind)) return 0;
    if (__atomic_sub_fetch(&control->after, 1, __ATOMIC_SEQ_CST) >= 0) return 0;
    if (mode == HANG) {
        struct timespec pause = {0, 2000000};
        __atomic_add_fetch(&control->struck, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&control->held, 1, __ATOMIC_SEQ_CST);
        while (control->mode == HANG) syscall(SYS_nanosleep, &pause, NULL);
        __atomic_sub_fetch(&control->held, 1, __ATOMIC_SEQ_CST);
        return strike(kind); /* what may be broken otherwise by now */
    }
    if (control->times >= 0 && __atomic_sub_fetch(&control->times, 1, __ATOMIC_SEQ_CST) < 0) {
        control->mode = WELL;
        return 0;
    }
    __atomic_add_fetch(&control->struck, 1, __ATOMIC_SEQ_CST);
    return mode;
}

static int on(int handle, int kind) {
    if (!control || control->mode == WELL || handle < 0) return 0;
    int before = errno;
    char name[32], path[2 * PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", handle);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, name, path, PATH_MAX - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return below(path) ? strike(kind | DESCRIPTOR) : 0;
}

static int at(int folder, const char *given, int kind) {
    if (!control || control->mode == WELL || !given || strlen(given) >= PATH_MAX) return 0;
    if (!*given) return on(folder, kind); /* AT_EMPTY_PATH */
    int before = errno;
    char path[2 * PATH_MAX + 2] = "";
    if (*given != '/') {
        char name[32] = "/proc/self/cwd";
        if (folder != AT_FDCWD) snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, name, path, PATH_MAX - 1);
        errno = before;
        if (length < 0) return 0;
        strcpy(path + length, "/");
    }
    strcat(path, given);
    normalize(path);
    return below(path) ? strike(kind | PATH) : 0;
}

static int both(int one, const char *from, int other, const char *to, int kind) {
    int error = at(one, from, kind);
    return error ? error : at(other, to, kind);
}

static int opening(int flags) {
    return OPEN | ((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC) ? WRITE : 0);
}

static int opening_as(const char *mode) { return OPEN | (strpbrk(mode, "wa+") ? WRITE : 0); }

#define REAL(result, name, args)                                                                   \
    static result(*real) args;                                                                     \
    if (!real) real = (result(*) args)dlsym(RTLD_NEXT, #name)

#define WRAP(result, name, args, call, found, failed)                                              \
    result name args {                                                                             \
        REAL(result, name, args);                                                                  \
        int error = (found);                                                                       \
        if (error) {                                                                               \
            errno = error;                                                                         \
            return failed;                                                                         \
        }                                                                                          \
        return real call;                                                                          \
    }

/* Opening. */
#define OPENS(name)                                                                                \
    int name(const char *path, int flags, ...) {                                                   \
        REAL(int, name, (const char *, int, ...));                                                 \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                  \
        va_end(rest);                                                                              \
        int error = at(AT_FDCWD, path, opening(flags));                                            \
        if (error) return errno = error, -1;                                                       \
        return real(path, flags, mode);                                                            \
    }
#define OPENS_AT(name)                                                                             \
    int name(int folder, const char *path, int flags, ...) {                                       \
        REAL(int, name, (int, const char *, int, ...));                                            \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                  \
        va_end(rest);                                                                              \
        int error = at(folder, path, opening(flags));                                              \
        if (error) return errno = error, -1;                                                       \
        return real(folder, path, flags, mode);                                                    \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)
#define CHECKED(name)                                                                              \
    WRAP(int, name, (const char *path, int flags), (path, flags),                                  \
         at(AT_FDCWD, path, opening(flags)), -1)
#define CHECKED_AT(name)                                                                           \
    WRAP(int, name, (int folder, const char *path, int flags), (folder, path, flags),              \
         at(folder, path, opening(flags)), -1)
CHECKED(__open_2)
CHECKED(__open64_2)
CHECKED_AT(__openat_2)
CHECKED_AT(__openat64_2)
#define CREATES(name)                                                                              \
    WRAP(int, name, (const char *path, mode_t mode), (path, mode),                                 \
         at(AT_FDCWD, path, OPEN | WRITE), -1)
CREATES(creat)
CREATES(creat64)
#define FOPENS(name)                                                                               \
    WRAP(FILE *, name, (const char *path, const char *mode), (path, mode),                         \
         at(AT_FDCWD, path, opening_as(mode)), NULL)
FOPENS(fopen)
FOPENS(fopen64)
WRAP(DIR *, opendir, (const char *path), (path), at(AT_FDCWD, path, OPEN), NULL)
WRAP(DIR *, fdopendir, (int handle), (handle), on(handle, OPEN), NULL)
WRAP(struct dirent *, readdir, (DIR * folder), (folder), on(dirfd(folder), 0), NULL)
WRAP(struct dirent64 *, readdir64, (DIR * folder), (folder), on(dirfd(folder), 0), NULL)

/* A file that was written to may hang when it is closed; errors came before. */
int close(int handle) {
    REAL(int, close, (int));
    if (control && control->mode == HANG && (fcntl(handle, F_GETFL) & O_ACCMODE) != O_RDONLY)
        on(handle, WRITE);
    return real(handle);
}

/* Looking. */
#define STATS(name, kind)                                                                          \
    WRAP(int, name, (const char *path, struct kind *found), (path, found), at(AT_FDCWD, path, 0), -1)
STATS(stat, stat)
STATS(stat64, stat64)
STATS(lstat, stat)
STATS(lstat64, stat64)
STATS(statfs, statfs)
STATS(statfs64, statfs64)
STATS(statvfs, statvfs)
STATS(statvfs64, statvfs64)
#define FSTATS(name, kind)                                                                         \
    WRAP(int, name, (int handle, struct kind *found), (handle, found), on(handle, 0), -1)
FSTATS(fstat, stat)
FSTATS(fstat64, stat64)
FSTATS(fstatfs, statfs)
FSTATS(fstatfs64, statfs64)
FSTATS(fstatvfs, statvfs)
FSTATS(fstatvfs64, statvfs64)
#define STATS_AT(name, kind)                                                                       \
    WRAP(int, name, (int folder, const char *path, struct kind *found, int flags),                 \
         (folder, path, found, flags), at(folder, path, 0), -1)
STATS_AT(fstatat, stat)
STATS_AT(fstatat64, stat64)
#define OLD_STATS(name, kind)                                                                      \
    WRAP(int, name, (int version, const char *path, struct kind *found), (version, path, found),   \
         at(AT_FDCWD, path, 0), -1)
OLD_STATS(__xstat, stat)
OLD_STATS(__xstat64, stat64)
OLD_STATS(__lxstat, stat)
OLD_STATS(__lxstat64, stat64)
#define OLD_FSTATS(name, kind)                                                                     \
    WRAP(int, name, (int version, int handle, struct kind *found), (version, handle, found),       \
         on(handle, 0), -1)
OLD_FSTATS(__fxstat, stat)
OLD_FSTATS(__fxstat64, stat64)
#define OLD_STATS_AT(name, kind)                                                                   \
    WRAP(int, name, (int version, int folder, const char *path, struct kind *found, int flags),    \
         (version, folder, path, found, flags), at(folder, path, 0), -1)
OLD_STATS_AT(__fxstatat, stat)
OLD_STATS_AT(__fxstatat64, stat64)
WRAP(int, statx, (int folder, const char *path, int flags, unsigned mask, struct statx *found),
     (folder, path, flags, mask, found), at(folder, path, 0), -1)
WRAP(int, access, (const char *path, int wanted), (path, wanted),
     at(AT_FDCWD, path, wanted & W_OK ? WRITE : 0), -1)
WRAP(int, faccessat, (int folder, const char *path, int wanted, int flags),
     (folder, path, wanted, flags), at(folder, path, wanted & W_OK ? WRITE : 0), -1)
WRAP(ssize_t, readlink, (const char *path, char *found, size_t size), (path, found, size),
     at(AT_FDCWD, path, 0), -1)
WRAP(ssize_t, readlinkat, (int folder, const char *path, char *found, size_t size),
     (folder, path, found, size), at(folder, path, 0), -1)
WRAP(ssize_t, __readlink_chk, (const char *path, char *found, size_t size, size_t room),
     (path, found, size, room), at(AT_FDCWD, path, 0), -1)
WRAP(ssize_t, __readlinkat_chk,
     (int folder, const char *path, char *found, size_t size, size_t room),
     (folder, path, found, size, room), at(folder, path, 0), -1)
WRAP(char *, realpath, (const char *path, char *found), (path, found), at(AT_FDCWD, path, 0), NULL)
WRAP(char *, __realpath_chk, (const char *path, char *found, size_t room), (path, found, room),
     at(AT_FDCWD, path, 0), NULL)

/* Changing what there is. */
#define CHANGES(name, args, call) WRAP(int, name, args, call, at(AT_FDCWD, path, WRITE), -1)
#define CHANGES_AT(name, args, call) WRAP(int, name, args, call, at(folder, path, WRITE), -1)
CHANGES(mkdir, (const char *path, mode_t mode), (path, mode))
CHANGES(rmdir, (const char *path), (path))
CHANGES(unlink, (const char *path), (path))
CHANGES(remove, (const char *path), (path))
CHANGES(chmod, (const char *path, mode_t mode), (path, mode))
CHANGES(truncate, (const char *path, off_t size), (path, size))
CHANGES(truncate64, (const char *path, off64_t size), (path, size))
CHANGES(utime, (const char *path, const struct utimbuf *times), (path, times))
CHANGES(utimes, (const char *path, const struct timeval times[2]), (path, times))
CHANGES(symlink, (const char *target, const char *path), (target, path))
CHANGES_AT(mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode))
CHANGES_AT(unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
CHANGES_AT(fchmodat, (int folder, const char *path, mode_t mode, int flags),
           (folder, path, mode, flags))
CHANGES_AT(utimensat,
           (int folder, const char *path, const struct timespec times[2], int flags),
           (folder, path, times, flags))
CHANGES_AT(symlinkat, (const char *target, int folder, const char *path), (target, folder, path))
WRAP(int, rename, (const char *from, const char *to), (from, to),
     both(AT_FDCWD, from, AT_FDCWD, to, WRITE), -1)
WRAP(int, renameat, (int one, const char *from, int other, const char *to),
     (one, from, other, to), both(one, from, other, to, WRITE), -1)
WRAP(int, renameat2, (int one, const char *from, int other, const char *to, unsigned flags),
     (one, from, other, to, flags), both(one, from, other, to, WRITE), -1)
WRAP(int, link, (const char *from, const char *to), (from, to),
     both(AT_FDCWD, from, AT_FDCWD, to, WRITE), -1)
WRAP(int, linkat, (int one, const char *from, int other, const char *to, int flags),
     (one, from, other, to, flags), both(one, from, other, to, WRITE), -1)

/* Reading and writing what is open. */
#define READS(result, name, args, call) WRAP(result, name, args, call, on(handle, 0), -1)
#define WRITES(result, name, args, call) WRAP(result, name, args, call, on(handle, WRITE), -1)
READS(ssize_t, read, (int handle, void *data, size_t size), (handle, data, size))
READS(ssize_t, __read_chk, (int handle, void *data, size_t size, size_t room),
      (handle, data, size, room))
READS(ssize_t, pread, (int handle, void *data, size_t size, off_t first),
      (handle, data, size, first))
READS(ssize_t, pread64, (int handle, void *data, size_t size, off64_t first),
      (handle, data, size, first))
READS(ssize_t, __pread_chk, (int handle, void *data, size_t size, off_t first, size_t room),
      (handle, data, size, first, room))
READS(ssize_t, __pread64_chk, (int handle, void *data, size_t size, off64_t first, size_t room),
      (handle, data, size, first, room))
READS(ssize_t, readv, (int handle, const struct iovec *parts, int count), (handle, parts, count))
READS(ssize_t, preadv, (int handle, const struct iovec *parts, int count, off_t first),
      (handle, parts, count, first))
READS(ssize_t, preadv64, (int handle, const struct iovec *parts, int count, off64_t first),
      (handle, parts, count, first))
WRITES(ssize_t, write, (int handle, const void *data, size_t size), (handle, data, size))
WRITES(ssize_t, pwrite, (int handle, const void *data, size_t size, off_t first),
       (handle, data, size, first))
WRITES(ssize_t, pwrite64, (int handle, const void *data, size_t size, off64_t first),
       (handle, data, size, first))
WRITES(ssize_t, writev, (int handle, const struct iovec *parts, int count),
       (handle, parts, count))
WRITES(ssize_t, pwritev, (int handle, const struct iovec *parts, int count, off_t first),
       (handle, parts, count, first))
WRITES(ssize_t, pwritev64, (int handle, const struct iovec *parts, int count, off64_t first),
       (handle, parts, count, first))
WRITES(int, fsync, (int handle), (handle))
WRITES(int, fdatasync, (int handle), (handle))
WRITES(int, syncfs, (int handle), (handle))
WRITES(int, fchmod, (int handle, mode_t mode), (handle, mode))
WRITES(int, ftruncate, (int handle, off_t size), (handle, size))
WRITES(int, ftruncate64, (int handle, off64_t size), (handle, size))
WRITES(int, fallocate, (int handle, int mode, off_t first, off_t size),
       (handle, mode, first, size))
WRITES(int, fallocate64, (int handle, int mode, off64_t first, off64_t size),
       (handle, mode, first, size))
WRITES(int, futimens, (int handle, const struct timespec times[2]), (handle, times))
WRAP(int, posix_fallocate, (int handle, off_t first, off_t size), (handle, first, size),
     on(handle, WRITE), error)
WRAP(int, posix_fallocate64, (int handle, off64_t first, off64_t size), (handle, first, size),
     on(handle, WRITE), error)

static int between(int to, int from) {
    int error = on(from, 0);
    return error ? error : on(to, WRITE);
}
WRAP(ssize_t, sendfile, (int to, int from, off_t *first, size_t size), (to, from, first, size),
     between(to, from), -1)
WRAP(ssize_t, sendfile64, (int to, int from, off64_t *first, size_t size),
     (to, from, first, size), between(to, from), -1)
WRAP(ssize_t, copy_file_range,
     (int from, off64_t *first, int to, off64_t *target, size_t size, unsigned flags),
     (from, first, to, target, size, flags), between(to, from), -1)

/* Memory that is a file: its pages cannot be struck, only the call that maps it. */
WRAP(void *, mmap, (void *where, size_t size, int may, int flags, int handle, off_t first),
     (where, size, may, flags, handle, first), flags & MAP_ANONYMOUS ? 0 : on(handle, 0),
     MAP_FAILED)
WRAP(void *, mmap64, (void *where, size_t size, int may, int flags, int handle, off64_t first),
     (where, size, may, flags, handle, first), flags & MAP_ANONYMOUS ? 0 : on(handle, 0),
     MAP_FAILED)
