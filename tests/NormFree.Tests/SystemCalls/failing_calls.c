// Makes the n-th system call of a kind that concerns a folder fail. Load it with LD_PRELOAD.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

// In the order of Injection.fs.
enum kind { OPEN, READ, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, MAP, MAKE_FOLDER, NONE };

static char folder[4096];
static size_t folder_length;
static int number, lasts;
static _Atomic int armed = NONE;
static atomic_int left;

// Arms the failure. If it lasts, all later calls of the kind fail too, as on a full disk.
void failing_calls_arm(const char *path, int kind, int n, int error, int failure_lasts)
{
    folder_length = strlen(path);
    memcpy(folder, path, folder_length + 1);
    number = error;
    lasts = failure_lasts;
    left = n;
    armed = kind;
}

// Ends it, and returns whether there were n calls.
int failing_calls_disarm(void)
{
    armed = NONE;
    return left <= 0;
}

static int is_below(const char *path)
{
    return strncmp(path, folder, folder_length) == 0;
}

static int counts(void)
{
    int before = atomic_fetch_sub(&left, 1);
    if (before != 1 && !(lasts && before < 1)) return 0;
    errno = number;
    return 1;
}

static int fails_at(enum kind kind, const char *path)
{
    return armed == kind && is_below(path) && counts();
}

static int fails_on(enum kind kind, int file)
{
    if (armed != kind || file < 0) return 0;
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path) && counts();
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define HOOK(condition, failure, type, name, parameters, ...) \
    type name parameters \
    { \
        REAL(name); \
        return condition ? failure : real(__VA_ARGS__); \
    }

#define OPENS(name) \
    int name(const char *path, int flags, ...) \
    { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return fails_at(OPEN, path) ? -1 : real(path, flags, mode); \
    }

OPENS(open)
OPENS(open64)
HOOK(fails_at(OPEN, path), NULL, DIR *, opendir, (const char *path), path)

HOOK(fails_on(READ, file), -1, ssize_t, read, (int file, void *bytes, size_t size), file, bytes, size)
HOOK(fails_on(READ, file), -1, ssize_t, pread, (int file, void *bytes, size_t size, off_t at), file, bytes, size, at)
HOOK(fails_on(READ, file), -1, ssize_t, pread64, (int file, void *bytes, size_t size, off64_t at), file, bytes, size, at)
HOOK(fails_on(READ, file), -1, ssize_t, preadv64, (int file, const struct iovec *parts, int count, off64_t at), file, parts, count, at)

HOOK(fails_on(WRITE, file), -1, ssize_t, write, (int file, const void *bytes, size_t size), file, bytes, size)
HOOK(fails_on(WRITE, file), -1, ssize_t, writev, (int file, const struct iovec *parts, int count), file, parts, count)
HOOK(fails_on(WRITE, file), -1, ssize_t, pwrite, (int file, const void *bytes, size_t size, off_t at), file, bytes, size, at)
HOOK(fails_on(WRITE, file), -1, ssize_t, pwrite64, (int file, const void *bytes, size_t size, off64_t at), file, bytes, size, at)
HOOK(fails_on(WRITE, file), -1, ssize_t, pwritev64, (int file, const struct iovec *parts, int count, off64_t at), file, parts, count, at)
HOOK(fails_on(WRITE, file), -1, ssize_t, sendfile64, (int file, int from, off64_t *at, size_t size), file, from, at, size)
HOOK(fails_on(WRITE, file), -1, int, fallocate64, (int file, int mode, off64_t at, off64_t size), file, mode, at, size)

HOOK(fails_on(SYNC, file), -1, int, fsync, (int file), file)
HOOK(fails_on(SYNC, file), -1, int, fdatasync, (int file), file)
HOOK(fails_on(TRUNCATE, file), -1, int, ftruncate, (int file, off_t size), file, size)
HOOK(fails_on(TRUNCATE, file), -1, int, ftruncate64, (int file, off64_t size), file, size)
HOOK(fails_at(RENAME, from), -1, int, rename, (const char *from, const char *to), from, to)
HOOK(fails_at(RENAME, from), -1, int, link, (const char *from, const char *to), from, to)
HOOK(fails_at(UNLINK, path), -1, int, unlink, (const char *path), path)
HOOK(fails_at(UNLINK, path), -1, int, rmdir, (const char *path), path)
HOOK(fails_at(MAKE_FOLDER, path), -1, int, mkdir, (const char *path, mode_t mode), path, mode)
HOOK(fails_on(MAP, file), MAP_FAILED, void *, mmap, (void *at, size_t size, int protection, int flags, int file, off_t start), at, size, protection, flags, file, start)
HOOK(fails_on(MAP, file), MAP_FAILED, void *, mmap64, (void *at, size_t size, int protection, int flags, int file, off64_t start), at, size, protection, flags, file, start)
