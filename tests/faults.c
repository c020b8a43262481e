/* Counts what a program does to the files of one folder, and kills it, or fails a call, at a place of choice. Preloaded, so
 * that it stands between the program and the C library.
 *
 *   FAULT_FOLDER  the folder, an absolute path without links
 *   FAULT_LOG     a file that gets a line for each call that is counted
 *   FAULT_AT      which of them, from 1
 *   FAULT_ERROR   what it fails with, a number of errno.h; without it the program is killed before the call, or, if it is
 *                 a write of more than a byte, after half of it
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILES = 4096 };

static const char *folder, *log_file;
static long at, error_number, count;
/* Path of each open file of the folder that is written to. */
static char *paths[FILES];

__attribute__((constructor)) static void begin(void) {
    const char *text;
    folder = getenv("FAULT_FOLDER");
    log_file = getenv("FAULT_LOG");
    at = (text = getenv("FAULT_AT")) ? atol(text) : 0;
    error_number = (text = getenv("FAULT_ERROR")) ? atol(text) : 0;
}

static int inside(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    return length && strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int exists(const char *path) {
    struct stat found;
    return lstat(path, &found) == 0;
}

static void kill_this(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a call; whether it is to fail. */
static int fails(const char *call, const char *path) {
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (log_file) {
        char line[4352];
        int length = snprintf(line, sizeof line, "%s %s\n", call, path);
        int file = (int)syscall(SYS_openat, AT_FDCWD, log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        syscall(SYS_write, file, line, (size_t)length);
        syscall(SYS_close, file);
    }
    if (number != at) return 0;
    if (!error_number) {
        if (strcmp(call, "write") == 0) return 1;
        kill_this();
    }
    errno = (int)error_number;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(int file, const char *path) {
    if (file >= 0 && file < FILES) paths[file] = strdup(path);
    return file;
}

#define OPEN(name)                                                                                  \
    int name(const char *path, int flags, ...) {                                                    \
        va_list rest;                                                                               \
        va_start(rest, flags);                                                                      \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;                   \
        va_end(rest);                                                                               \
        int ours = inside(path) && (flags & O_ACCMODE) != O_RDONLY;                                 \
        if (ours && fails("open", path)) return -1;                                                 \
        int file = REAL(name)(path, flags, mode);                                                   \
        return ours ? opened(file, path) : file;                                                    \
    }
OPEN(open)
OPEN(open64)

int close(int file) {
    if (file >= 0 && file < FILES) paths[file] = NULL;
    return REAL(close)(file);
}

static const char *path_of(int file) {
    return file >= 0 && file < FILES ? paths[file] : NULL;
}

ssize_t write(int file, const void *bytes, size_t length) {
    const char *path = path_of(file);
    if (path && fails("write", path)) {
        if (error_number) return -1;
        REAL(write)(file, bytes, length / 2);
        kill_this();
    }
    return REAL(write)(file, bytes, length);
}

#define OF_FILE(name)                                            \
    int name(int file) {                                         \
        const char *path = path_of(file);                        \
        return path && fails(#name, path) ? -1 : REAL(name)(file); \
    }
OF_FILE(fsync)
OF_FILE(fdatasync)

#define TRUNCATE(name, offset)                                             \
    int name(int file, offset length) {                                    \
        const char *path = path_of(file);                                  \
        return path && fails(#name, path) ? -1 : REAL(name)(file, length); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int rename(const char *from, const char *to) {
    return inside(to) && exists(from) && fails("rename", to) ? -1 : REAL(rename)(from, to);
}

/* What changes nothing is not counted: removing what is not there, making what is. */
#define REMOVE(name)                                                                     \
    int name(const char *path) {                                                         \
        return inside(path) && exists(path) && fails(#name, path) ? -1 : REAL(name)(path); \
    }
REMOVE(unlink)
REMOVE(rmdir)

int mkdir(const char *path, mode_t mode) {
    return inside(path) && !exists(path) && fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode);
}
