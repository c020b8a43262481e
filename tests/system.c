/* Faults of the system, for tests: loaded before libc by LD_PRELOAD.
 *
 * FAULT_THREADS=N    so many threads can be started, then EAGAIN
 * FAULT_READ=NAME    reading a file whose path ends so fails with EIO
 * FAULT_CLOCK=1      the clock stands before 1970, and the monotonic one jumps forth and back
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *argument) {
    static atomic_int started;
    const char *most = getenv("FAULT_THREADS");
    if (most && atomic_fetch_add(&started, 1) >= atoi(most)) return EAGAIN;
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attr, start, argument);
}

ssize_t read(int file, void *buffer, size_t size) {
    const char *name = getenv("FAULT_READ");
    if (name) {
        char link[64], path[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        ssize_t length = readlink(link, path, sizeof path);
        ssize_t end = (ssize_t)strlen(name);
        if (length >= end && memcmp(path + length - end, name, end) == 0) {
            errno = EIO;
            return -1;
        }
    }
    return syscall(SYS_read, file, buffer, size);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static atomic_int calls;
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && getenv("FAULT_CLOCK")) {
        if (clock == CLOCK_REALTIME) time->tv_sec = -1000;
        else if (atomic_fetch_add(&calls, 1) % 2) time->tv_sec += 1000000000000000000;
    }
    return result;
}
